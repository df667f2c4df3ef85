"""A Job that posts its event to `SINK` or `K_SINK`; without an event, the overrides of its SinkBinding."""

from __future__ import annotations

import os
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

event = Path(os.environ.get("K_EVENT_PATH", "/nowhere"), "event")
body = event.read_bytes() if event.exists() else os.environ["K_CE_OVERRIDES"].encode()
sink = urlsplit(os.environ.get("K_SINK") or os.environ["SINK"])
host = str(sink.hostname)
# Not every resolver knows the names under localhost.
connection = HTTPConnection("127.0.0.1" if host.endswith(".localhost") else host, sink.port, timeout=60)
connection.request("POST", sink.path, body, {"Host": sink.netloc, "Content-Type": "application/cloudevents+json"})
assert connection.getresponse().status < 300
connection.close()
