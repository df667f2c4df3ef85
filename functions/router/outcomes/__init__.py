"""What the router observes of a model's arms: outcomes, sent to a sink each second, and copies for a shadow revision."""
