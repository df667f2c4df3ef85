"""Observability: metrics, and optionally a request log, traces and a payload log. None of them delays a request."""
