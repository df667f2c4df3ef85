"""Batch: a job that scores a dataset with a model into another dataset."""

import os

# PyArrow's own allocator keeps what it has freed, beyond the memory setting of a batch; it is chosen at its import.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
