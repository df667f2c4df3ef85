"""The workbench: the `tidegate` command, and the manifests as processes."""
