"""Replicas as local processes: start, readiness probes, restarts and stop."""
