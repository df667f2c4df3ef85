"""The throughput of a batch, beside plain XGBoost and JSON requests: `python -m loadtest.batch`."""
