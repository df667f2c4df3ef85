"""The model function beside other servers of the same model, on this machine: one command installs, measures and reports."""
