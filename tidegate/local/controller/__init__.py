"""Controllers: from Knative Services and Deployments to revisions, replicas and statuses."""
