"""Foundations of every part: errors, settings from the environment, logs, sockets, the HTTP client, delivery outcomes."""
