"""Model files that are almost right, loaded by a real model function, and what may become of it."""
