"""Serving models, independent of the transport: the registry, micro-batching, and the scheduling of large
predictions."""
