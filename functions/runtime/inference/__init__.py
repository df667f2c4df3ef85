"""Serving models, independent of the transport: the registry, micro-batching, and scheduling of large predictions."""
