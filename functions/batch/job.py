"""One batch: a dataset is scored by a model into another dataset."""

from __future__ import annotations

from functions.batch.run.driver import run
from functions.batch.run.progress import Progress, Summary

__all__ = ["Progress", "Summary", "run"]
