"""A client of HTTP/1.1 for calls of revisions: one write a request, kept connections, bounded memory."""
