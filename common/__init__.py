"""Foundations of every part: errors, settings from the environment, sockets, the HTTP client, delivery outcomes."""
