"""The rollout function: it moves a canary's share by the outcomes that routers observe."""
