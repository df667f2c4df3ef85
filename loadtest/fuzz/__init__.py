"""Requests that are almost right, made by hypothesis from a function's own metadata, and what may become of them."""
