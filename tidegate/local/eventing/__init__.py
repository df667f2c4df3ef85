"""Knative Eventing on one machine: Brokers, Triggers, sources, sinks and Jobs."""
