"""Kubernetes objects that `tidegate up` supports: manifests, strict models, and the rules of a cluster."""
