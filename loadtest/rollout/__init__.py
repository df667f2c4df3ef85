"""Simulated rollouts, decided by the rollout function's own code: false alarms, detection, and the usual rule beside."""
