"""A client of HTTP/1.1 without TLS, for calls of revisions: one write a request, kept connections, bounded memory."""
