"""Burst from zero: all callers call at the same moment, while nothing runs, and then ten times a second."""

from __future__ import annotations

from locust import constant_throughput, task

from loadtest.scenarios.caller import Caller


class Burst(Caller):
    wait_time = constant_throughput(10)

    @task
    def score(self) -> None:
        self.infer()
