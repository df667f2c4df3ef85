"""Controllers that turn Knative Services and Deployments into revisions, replicas and statuses."""
