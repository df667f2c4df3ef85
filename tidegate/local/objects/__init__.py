"""The objects that `tidegate up` honours: manifests, their strict models, and the rules of a cluster."""
