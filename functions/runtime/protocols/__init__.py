"""What clients speak, as pure functions: a parsed body in, rows out; scores in, a body out. One module a protocol."""
