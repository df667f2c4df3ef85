"""Authentication of callers by API keys and bearer tokens, independent of HTTP except for the values of two headers."""
