"""The adapter for kafka-python, the only modules that import it.

It owns that library's faults and their corrections.
"""
