"""Who may call a function: API keys and bearer tokens. It knows nothing of HTTP but the values of two headers."""
