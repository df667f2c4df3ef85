"""`tidegate backtest`: two revisions of a model on data whose outcomes are known."""
