"""`tidegate replay`: the events of a topic again, by a candidate, beside what was answered."""
