"""`tidegate up`: the manifests of a cluster, run as processes on this machine."""
