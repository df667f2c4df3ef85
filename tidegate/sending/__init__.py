"""One event by hand: its receiver, its attributes and data, and what became of it."""
