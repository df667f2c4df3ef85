"""Scenarios: one module for each, which `locust -f` can run as well."""
