"""Knative Services through the Kubernetes API: a client that starts fast, and the traffic of a Service."""
