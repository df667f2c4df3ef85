"""Replicas as processes of this machine: started, probed, restarted and stopped."""
