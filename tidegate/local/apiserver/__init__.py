"""The part of the Kubernetes API that `tidegate up` serves."""
