"""A FastAPI application around a model function, for functions with their own routes, dependencies and middleware.

Importing this package takes as long as the rest of a cold start; a function without an `app.py` does not import it.
"""

from functions.runtime.fastapi.application import Application, create_app
from functions.runtime.fastapi.model import Model
from functions.runtime.fastapi.security import ApiKey, BearerToken

__all__ = ["ApiKey", "Application", "BearerToken", "Model", "create_app"]
