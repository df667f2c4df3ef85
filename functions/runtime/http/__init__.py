"""The model function over HTTP, on plain ASGI (https://asgi.readthedocs.io, version 3), to start fast."""
