"""Batch: a job that moves a dataset through a model into another dataset."""
