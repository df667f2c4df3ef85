"""Steady: each caller sends its next request after the last response, or all together at a given rate."""

from __future__ import annotations

from locust import task

from loadtest.scenarios.caller import Caller


class Steady(Caller):
    @task
    def score(self) -> None:
        self.infer()
