"""Load on a running gateway: scenarios for locust, a report with plots, and the cold start of a model function."""
