"""Serving models: the registry, micro-batching, and the scheduling of large predictions. Knows no transport."""
