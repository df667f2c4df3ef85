"""The base class of callers: it scores one real row by the Open Inference Protocol."""

from __future__ import annotations

from importlib.resources import files

from locust.contrib.fasthttp import FastHttpUser

MODEL = "flights"
PATH = f"/v2/models/{MODEL}/infer"
# United's 1545 from Newark to Houston on 1 January 2013, the first flight of the data.
BODY = files("loadtest").joinpath("scenarios/flights.json").read_text("utf-8")


class Caller(FastHttpUser):
    """A caller that sends the model's host name to the gateway's address, without resolving the name."""

    abstract = True
    # Seconds. A request may wait for a start from zero; a longer wait is a failure.
    connection_timeout = 10.0
    network_timeout = 60.0
    authority = f"{MODEL}.localhost"

    def infer(self) -> None:
        self.client.post(PATH, data=BODY, headers={"Host": self.authority, "Content-Type": "application/json"}, name="infer")
