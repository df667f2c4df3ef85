"""Observing: metrics, and if asked for, a request log, traces and a payload log. Nobody here is ever in the caller's way."""
