"""The cost of the router: what it adds to a call of a function, to its start, and to its memory."""
