"""A client of HTTP/1.1 that starts fast: one write a request, kept connections, bounded memory, no redirects."""
