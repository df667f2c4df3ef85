"""The router: the function in front of the models, which splits the traffic of a model between its revisions by key."""
