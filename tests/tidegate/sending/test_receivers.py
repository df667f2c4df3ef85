from __future__ import annotations

import pytest

from tidegate.sending.errors import UnknownReceiver
from tidegate.sending.receivers import Receiver, choose


def receiver(kind: str, name: str, namespace: str = "default", url: str | None = "") -> Receiver:
    return Receiver(kind=kind, namespace=namespace, name=name, url=f"http://{kind}/{name}" if url == "" else url, reason="no topic")


BROKER, SERVICE, SINK = receiver("Broker", "events"), receiver("Service", "router"), receiver("JobSink", "batch")
TWINS = [receiver("Broker", "a"), receiver("Broker", "a", "other"), receiver("Service", "a")]


@pytest.mark.parametrize(
    ("to", "url"),
    [
        (None, "http://Broker/events"),
        ("router", "http://Service/router"),
        ("ksvc:router/models/flights", "http://Service/router/models/flights"),
        ("JobSink:batch:default", "http://JobSink/batch"),
    ],
    ids=["default", "name", "path", "namespace"],
)
def test_receiver_is_chosen_by_name(to: str | None, url: str) -> None:
    assert choose(to, [BROKER, SERVICE, SINK])[1] == url


@pytest.mark.parametrize(
    ("to", "known", "sentence"),
    [
        ("rooter", [BROKER, SERVICE], "no receiver is named rooter; use the Service router."),
        ("job", [BROKER, SERVICE], "no receiver is named job; use one of these: Broker events, Service router."),
        ("broker:events:x", [BROKER], "no Broker is named events in the namespace x; use the Broker events."),
        ("pod:x", [BROKER], "'pod' in --to is no kind that accepts events; write one of broker, "),
        ("a:b:c:d", [BROKER], "'a' in --to is no kind"),
        ("", [BROKER], "--to is ''; write NAME, KIND:NAME or KIND:NAME:NAMESPACE"),
        ("broker:a", TWINS, "a is the name of 2 receivers; choose one by --to broker:a:default or --to broker:a:other."),
        ("a", [TWINS[0], TWINS[2]], "a is the name of 2 receivers; choose one by --to broker:a or --to service:a."),
        (None, TWINS, "there are 2 Brokers; choose one by --to broker:a:default or --to broker:a:other."),
        (None, [SINK], "there is no Broker, and --to names no other receiver; choose one by --to: JobSink batch."),
        (None, [], "there is no Broker, Service or sink; start `tidegate up` with manifests that have one."),
        ("x", [], "no receiver is named x; start `tidegate up` with manifests that have one."),
        ("events", [receiver("Broker", "events", url=None)], "the Broker events has no address: no topic; `tidegate status` shows why."),
    ],
    ids=["near", "far", "namespace", "kind", "parts", "empty", "namespaces", "kinds", "brokers", "no-broker", "nothing", "none", "address"],
)
def test_unknown_receiver_is_one_sentence(to: str | None, known: list[Receiver], sentence: str) -> None:
    with pytest.raises(UnknownReceiver) as caught:
        choose(to, known)
    assert str(caught.value).startswith(sentence)
