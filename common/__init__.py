"""Foundations of all parts: errors, settings, the frame of a process, logs, sockets, HTTP, delivery outcomes."""
