"""Codecs between messages and events: pure functions, one module per format or protocol binding."""
