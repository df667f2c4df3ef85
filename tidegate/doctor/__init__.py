"""What is missing or wrong, each with its remedy: one module a topic, pure checks on plain data, reads at the edge."""
