"""Messages in, events out, and back: pure functions, one module a binding."""
