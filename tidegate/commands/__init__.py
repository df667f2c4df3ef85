"""One module a command: its options, and what it prints. Heavy imports happen inside, so that `--help` is quick."""
