"""Checks of a cluster, and the one way to it."""
