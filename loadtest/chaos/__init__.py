"""The stream worker under faults: a plan of faults, the processes that suffer them, and a checker of what was written."""
