"""Kubernetes objects that `tidegate up` supports: manifests, their strict models, and the validation rules of a cluster."""
