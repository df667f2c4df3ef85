"""What callers do: one module a scenario, each of which `locust -f` can run as well."""
