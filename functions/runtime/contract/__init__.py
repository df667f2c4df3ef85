"""What callers send and get: the card of a model, the checks and encoding of inputs, and outputs."""
