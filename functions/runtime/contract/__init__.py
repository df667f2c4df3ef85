"""The contract with callers: the card of a model, the checks and the encoding of inputs, and the outputs."""
