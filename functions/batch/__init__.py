"""Batch: a job that scores a dataset with a model into another dataset."""
