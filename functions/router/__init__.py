"""The router: the function in front of the models, which splits traffic between a model's revisions by key."""
