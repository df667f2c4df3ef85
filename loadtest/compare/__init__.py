"""Comparison of the model function with other servers of one model: install, measure and report."""
