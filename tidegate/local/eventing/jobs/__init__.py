"""Jobs as processes, and the JobSinks that start them."""
