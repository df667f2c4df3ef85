"""Fuzzing of model files: damaged ones, loaded by a real model function."""
