"""A new model function in a clone of the project: its name, its files, and the writing of all of them or none."""
