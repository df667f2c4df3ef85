"""A FastAPI application around a model function, for teams that add routes, dependencies and middleware of their own.

Importing this takes as long as all the rest of a cold start: a function without an `app.py` never does.
"""

from functions.runtime.fastapi.application import Application, create_app
from functions.runtime.fastapi.model import Model
from functions.runtime.fastapi.security import ApiKey, BearerToken

__all__ = ["ApiKey", "Application", "BearerToken", "Model", "create_app"]
