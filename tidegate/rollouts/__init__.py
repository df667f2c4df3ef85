"""`tidegate rollout`: rollouts by the same rules as the rollout function's, through the Kubernetes API."""
