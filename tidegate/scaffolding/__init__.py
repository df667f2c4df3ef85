"""A new model function in a clone of the project: its name, the files that it needs, and writing all of them or none."""
