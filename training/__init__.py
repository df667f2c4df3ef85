"""What trainers share: evaluation of predictions, publication of an artifact with its card, and the command line."""
