"""Model artifacts: where they come from, by which policy and digest, and how they become loaded models."""
