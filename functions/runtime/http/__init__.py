"""The model function by HTTP: plain ASGI (https://asgi.readthedocs.io, version 3), so that a cold start pays for no
framework."""
