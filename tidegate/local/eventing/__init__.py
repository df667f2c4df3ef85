"""Knative Eventing in `tidegate up`: objects are reconciled, and events travel between them."""
