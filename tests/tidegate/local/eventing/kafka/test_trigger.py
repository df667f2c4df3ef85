"""Triggers from the ingress of their Broker to their subscriber, on a real broker."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from eventing.codecs.http import Mode
from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.port import Cluster, ConsumerOptions, TopicPartition
from tests.tidegate.local.eventing.harness import Eventing, Sink, as_sent, event, respond, until
from tidegate.local.eventing.delivery.hops import MAX_HOPS, TTL
from tidegate.local.eventing.delivery.subscriber import Counts
from tidegate.local.eventing.ingress import Address
from tidegate.local.eventing.kafka.dispatcher import MAX_IN_FLIGHT

StartSink = Callable[..., Awaitable[Sink]]
RETRIES = {"retry": 3, "backoffPolicy": "linear", "backoffDelay": "PT0.01S"}


def counts(eventing: Eventing, name: str = "a") -> Counts:
    return eventing.triggers.counts()[Address("default", name)]


async def test_event_is_delivered_as_it_was_sent(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    sent = event(1, subject="é%", partitionkey="k")

    assert await eventing.send(sent) == 202
    assert await eventing.send(sent) == 202

    assert as_sent(*await received.wait(2)) == [sent, sent]
    assert sorted(found.attributes["knativekafkaoffset"] for found in received.events) == ["0", "1"]
    assert received.headers[0]["prefer"] == "reply"
    assert received.headers[0]["kn-namespace"] == "default"


async def test_data_that_is_not_json_is_passed_on_as_it_is(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    eventing.trigger("a", received.url)
    await eventing.ready("a")

    await eventing.send(Event(event().attributes, b"{not json"))

    assert (await received.wait(1))[0].data == b"{not json"


async def test_trigger_sees_no_event_from_before_it_was_created(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    await eventing.send(event(1))
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    await eventing.send(event(2))

    await received.wait(1)

    assert received.ids == ["e2"]


async def test_trigger_gets_the_events_from_its_creation_on(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    for number in range(8):
        await eventing.send(event(number))
    eventing.trigger("a", received.url)
    await eventing.send(event(8), event(9), mode=Mode.BATCH)  # before the Trigger is connected

    await received.wait(2)

    assert sorted(received.ids) == ["e8", "e9"]


async def test_each_trigger_gets_the_events_of_its_filter(eventing: Eventing, sink: StartSink) -> None:
    some, every = await sink(), await sink()
    eventing.trigger("a", some.url, filters=[{"prefix": {"type": "com.airline."}}])
    eventing.trigger("b", every.url)
    await eventing.ready("a", "b")

    await eventing.send(event(1, type="com.airline.departed"), event(2, type="com.hotel.booked"), event(3), mode=Mode.BATCH)

    await every.wait(3)
    await until(lambda: counts(eventing).filtered == 2)
    assert some.ids == ["e1"]


async def test_changed_filter_and_subscriber_apply_to_later_events(eventing: Eventing, sink: StartSink) -> None:
    before, after = await sink(), await sink()
    eventing.trigger("a", before.url)
    await eventing.ready("a")
    await eventing.send(event(1))
    await before.wait(1)

    eventing.trigger("a", after.url, filter={"attributes": {"type": "new"}})
    await eventing.send(event(2), event(3, type="new"), mode=Mode.BATCH)

    await after.wait(1)
    assert (before.ids, after.ids) == (["e1"], ["e3"])


async def test_events_wait_while_the_subscriber_has_no_address(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    eventing.trigger("a", None)
    await eventing.ready("a")
    await eventing.send(event(1))

    eventing.trigger("a", received.url)

    await received.wait(1)
    assert received.ids == ["e1"]


async def test_events_wait_while_the_dead_letter_sink_has_no_address(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    delivery = {"deadLetterSink": {"uri": "http://later"}}
    eventing.trigger("a", received.url, delivery=delivery)
    await eventing.ready("a")
    await eventing.send(event(1))
    await eventing.send(event(2))
    assert not received.events

    eventing.trigger("a", received.url, dead_letter="http://127.0.0.1:1", delivery=delivery)

    await received.wait(2)


@pytest.mark.parametrize("status", [404, 408, 409, 429, 500, 503])
async def test_retryable_status_is_retried(eventing: Eventing, sink: StartSink, status: int) -> None:
    async def fail_twice(_: Event) -> web.Response:
        return respond(status=status if len(received.events) <= 2 else 200)

    received = await sink(fail_twice)
    eventing.trigger("a", received.url, delivery=RETRIES)
    await eventing.ready("a")
    await eventing.send(event(1))

    await received.wait(3)

    await until(lambda: counts(eventing) == Counts(delivered=1, retries=2))
    assert received.ids == ["e1"] * 3


@pytest.mark.parametrize("status", [302, 400, 401, 413, 422, 425])
async def test_other_status_is_dead_lettered_at_once(eventing: Eventing, sink: StartSink, status: int) -> None:
    async def refuse(_: Event) -> web.Response:
        return web.Response(status=status, text="x" * 2000, headers={"Kne-Reason": "poison", "Location": "http://127.0.0.1:1"})

    received, dead = await sink(refuse), await sink()
    eventing.trigger("a", received.url, dead_letter=dead.url, delivery={**RETRIES, "deadLetterSink": {"uri": dead.url}})
    await eventing.ready("a")
    sent = event(1)
    await eventing.send(sent)

    (letter,) = await dead.wait(1)

    data = base64.b64encode(b"x" * 1024).decode()
    expected = sent.with_attributes(knativeerrordest=received.url, knativeerrorcode=str(status), knativeerrordata=data, reason="poison")
    assert as_sent(letter) == [expected]
    assert len(received.events) == 1


async def test_event_whose_retries_are_used_up_is_dead_lettered(eventing: Eventing, sink: StartSink) -> None:
    async def fail(_: Event) -> web.Response:
        return respond(status=500)

    received, dead = await sink(fail), await sink()
    eventing.trigger("a", received.url, dead_letter=dead.url, delivery={**RETRIES, "deadLetterSink": {"uri": dead.url}})
    await eventing.ready("a")
    await eventing.send(event(1))

    (letter,) = await dead.wait(1)

    assert len(received.events) == 4
    assert "knativeerrordata" not in letter.attributes


async def test_dead_letter_without_a_response_has_no_code(eventing: Eventing, sink: StartSink, unused_tcp_port: int) -> None:
    dead = await sink()
    unreachable = f"http://127.0.0.1:{unused_tcp_port}/"
    eventing.trigger("a", unreachable, dead_letter=dead.url, delivery={"deadLetterSink": {"uri": dead.url}})
    await eventing.ready("a")
    await eventing.send(event(1))

    assert as_sent(*await dead.wait(1)) == [event(1).with_attributes(knativeerrordest=unreachable)]


async def test_slow_subscriber_is_given_up_after_the_timeout(eventing: Eventing, sink: StartSink) -> None:
    late = asyncio.Event()

    async def wait(_: Event) -> web.Response:
        await late.wait()
        return respond()

    received, dead = await sink(wait), await sink()
    delivery = {"timeout": "PT0.05S", "deadLetterSink": {"uri": dead.url}}
    eventing.trigger("a", received.url, dead_letter=dead.url, delivery=delivery)
    await eventing.ready("a")
    await eventing.send(event(1))

    await dead.wait(1)
    late.set()


async def test_dead_letter_is_retried_like_an_event(eventing: Eventing, sink: StartSink) -> None:
    async def refuse(_: Event) -> web.Response:
        return respond(status=400)

    async def fail_once(_: Event) -> web.Response:
        return respond(status=503 if len(dead.events) == 1 else 200)

    received, dead = await sink(refuse), await sink(fail_once)
    eventing.trigger("a", received.url, dead_letter=dead.url, delivery={**RETRIES, "deadLetterSink": {"uri": dead.url}})
    await eventing.ready("a")
    await eventing.send(event(1))

    await dead.wait(2)
    await until(lambda: counts(eventing).dead_lettered == 1)


async def test_event_without_a_dead_letter_sink_is_lost_with_a_log_line(
    eventing: Eventing, sink: StartSink, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(found: Event) -> web.Response:
        return respond(status=400 if found.id == "e1" else 200)

    received = await sink(refuse)
    eventing.trigger("a", received.url, order="ordered")
    await eventing.ready("a")
    await eventing.send(event(1, partitionkey="k"))
    await eventing.send(event(2, partitionkey="k"))

    await received.wait(2)

    await until(lambda: counts(eventing).delivered == 1)
    assert counts(eventing).lost == 1
    assert f"Trigger a: the event e1 of /test is lost: {received.url} answered 400" in caplog.text


async def test_reply_goes_into_the_broker(eventing: Eventing, sink: StartSink) -> None:
    async def answer(found: Event) -> web.Response:
        return respond(event(9, type="answer", partitionkey=found.id))

    asked, answered = await sink(answer), await sink()
    eventing.trigger("a", asked.url, filter={"attributes": {"type": "t"}})
    eventing.trigger("b", answered.url, filter={"attributes": {"type": "answer"}})
    await eventing.ready("a", "b")
    await eventing.send(event(1))

    assert as_sent(*await answered.wait(1)) == [event(9, type="answer", partitionkey="e1")]
    assert counts(eventing).replies == 1


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="done"),
        web.json_response({"done": True}),
        web.Response(text="[]", content_type="application/cloudevents-batch+json"),
        web.Response(text="{}", content_type="application/cloudevents+json"),
        web.Response(text="x", headers={"ce-id": "1"}),
        web.Response(body=b"x" * (2 << 20), headers={"ce-id": "1", "ce-specversion": "1.0", "ce-type": "t", "ce-source": "/s"}),
    ],
    ids=["text", "json", "batch", "invalid-structured", "invalid-binary", "too-large"],
)
async def test_response_that_is_no_event_is_dead_lettered_at_once(eventing: Eventing, sink: StartSink, answer: web.Response) -> None:
    async def respond_so(_: Event) -> web.Response:
        return web.Response(status=200, headers=answer.headers, body=answer.body)

    received, dead = await sink(respond_so), await sink()
    eventing.trigger("a", received.url, dead_letter=dead.url, delivery={**RETRIES, "deadLetterSink": {"uri": dead.url}})
    await eventing.ready("a")
    await eventing.send(event(1))

    # As on a cluster, a response of success leaves no code.
    assert as_sent(*await dead.wait(1)) == [event(1).with_attributes(knativeerrordest=received.url)]
    assert len(received.events) == 1


async def test_triggers_that_feed_each_other_end(eventing: Eventing, sink: StartSink) -> None:
    async def swap(found: Event) -> web.Response:
        assert TTL not in found.attributes
        return respond(event(type="pong" if found.type == "ping" else "ping"))

    ping, pong, dead = await sink(swap), await sink(swap), await sink()
    for name, server in (("ping", ping), ("pong", pong)):
        delivery = {"deadLetterSink": {"uri": dead.url}}
        eventing.trigger(name, server.url, filter={"attributes": {"type": name}}, dead_letter=dead.url, delivery=delivery)
    await eventing.ready("ping", "pong")
    await eventing.send(event(type="ping"))

    await dead.wait(1)

    assert len(ping.events) + len(pong.events) == MAX_HOPS
    assert "Triggers of the Broker feed each other" in counts(eventing, "ping").last_failure


async def test_broker_that_is_its_own_dead_letter_sink_ends(eventing: Eventing, sink: StartSink) -> None:
    async def refuse(_: Event) -> web.Response:
        return respond(status=400)

    received = await sink(refuse)
    own = f"{eventing.ingress}/default/b"
    eventing.trigger("a", received.url, dead_letter=own, delivery={"deadLetterSink": {"uri": own}})
    await eventing.ready("a")
    await eventing.send(event(1))

    await until(lambda: counts(eventing).lost == 1)
    assert counts(eventing).dead_lettered == len(received.events) - 1 == MAX_HOPS - 1


async def test_ordered_trigger_delivers_one_event_of_a_key_at_a_time(eventing: Eventing, sink: StartSink) -> None:
    async def fail_some(found: Event) -> web.Response:
        await asyncio.sleep(0)
        return respond(status=500 if received.ids.count(found.id) == 1 and found.id.endswith("3") else 200)

    received = await sink(fail_some)
    eventing.trigger("a", received.url, order="ordered", delivery=RETRIES)
    await eventing.ready("a")
    for number in range(30):
        await eventing.send(event(number, partitionkey="one"))

    await received.wait(33)

    assert list(dict.fromkeys(received.ids)) == [f"e{number}" for number in range(30)]
    assert received.ids == sorted(received.ids, key=lambda found: int(found[1:]))
    assert received.most_in_flight == 1


async def test_ordered_trigger_serves_partitions_side_by_side(eventing: Eventing, sink: StartSink) -> None:
    go = asyncio.Event()

    async def wait(found: Event) -> web.Response:
        if found.get("partitionkey") == "stuck":
            await go.wait()
        return respond()

    received = await sink(wait)
    eventing.trigger("a", received.url, order="ordered")
    await eventing.ready("a")
    await eventing.send(event(0, partitionkey="stuck"))
    await received.wait(1)
    for number in range(1, 41):
        await eventing.send(event(number, partitionkey=f"k{number}"))

    await received.wait(20)  # those of the other three partitions

    go.set()
    await received.wait(41)


async def test_unordered_trigger_has_a_bounded_number_of_events_in_flight(eventing: Eventing, sink: StartSink) -> None:
    go = asyncio.Event()

    async def wait(_: Event) -> web.Response:
        await go.wait()
        return respond()

    received = await sink(wait)
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    await eventing.send(*[event(number) for number in range(3 * MAX_IN_FLIGHT)], mode=Mode.BATCH)
    await received.wait(MAX_IN_FLIGHT)
    assert eventing.triggers.in_flight() == MAX_IN_FLIGHT

    go.set()

    await received.wait(3 * MAX_IN_FLIGHT)
    assert received.most_in_flight == MAX_IN_FLIGHT
    assert len(set(received.ids)) == 3 * MAX_IN_FLIGHT


async def test_offsets_are_committed_up_to_the_lowest_unfinished_event(eventing: Eventing, sink: StartSink, cluster: Cluster) -> None:
    go = asyncio.Event()

    async def wait(found: Event) -> web.Response:
        if found.id == "e1":
            await go.wait()
        return respond()

    received = await sink(wait)
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    topic = await eventing.brokers.topic("default", "b")
    for number in range(3):
        await eventing.send(event(number, partitionkey="one"))
    await received.wait(3)
    consumer = cluster.consumer(ConsumerOptions(group="knative-trigger-default-a"))

    def committed() -> int:
        found = [consumer.committed(TopicPartition(topic.name, number)) for number in range(4)]
        return sum(offset.offset for offset in found if offset)

    await until(lambda: committed() == 1)
    go.set()
    await until(lambda: committed() == 3)
    consumer.close()


async def test_record_that_others_write_is_delivered_and_one_that_is_no_event_skipped(
    eventing: Eventing, sink: StartSink, cluster: Cluster
) -> None:
    received = await sink()
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    topic = await eventing.brokers.topic("default", "b")
    producer = cluster.producer()
    headers = [("ce_id", b"foreign"), ("ce_source", b"/kafka"), ("ce_type", b"t"), ("ce_specversion", b"1.0")]
    for message in (Message(b"k", b"no event", []), Message(b"k", None, headers)):
        producer.send(topic.name, message)
    producer.flush(10)
    producer.close()

    await received.wait(1)
    await eventing.send(event(1, partitionkey="k"))

    await received.wait(2)
    assert received.ids == ["foreign", "e1"]


async def test_deleted_trigger_that_is_created_again_sees_later_events_only(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    eventing.triggers.delete("default", "a")
    await eventing.send(event(1))
    eventing.conditions.clear()

    eventing.trigger("a", received.url)
    await eventing.ready("a")
    await eventing.send(event(2))

    await received.wait(1)
    assert received.ids == ["e2"]


async def test_trigger_may_be_there_before_its_broker(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    eventing.trigger("a", received.url, broker="later")
    eventing.broker("later")
    await eventing.ready("a")

    await eventing.send(event(1), broker="later")

    await received.wait(1)


async def test_close_waits_for_the_attempt_in_flight_and_leaves_retries_to_the_next_start(eventing: Eventing, sink: StartSink) -> None:
    go = asyncio.Event()

    async def answer(found: Event) -> web.Response:
        if found.id == "slow":
            await go.wait()
        return respond(status=500 if found.id == "failing" and len(received.events) < 3 else 200)

    received = await sink(answer)
    delivery = {"retry": 5, "backoffDelay": "PT1H"}
    eventing.trigger("a", received.url, delivery=delivery)
    await eventing.ready("a")
    await eventing.send(event(id="slow"))
    await eventing.send(event(id="failing"))
    await received.wait(2)
    closing = asyncio.create_task(eventing.triggers.close())
    await asyncio.sleep(0)
    go.set()
    await closing

    eventing.trigger("a", received.url, delivery=delivery)

    await received.wait(3)
    assert received.ids[2] == "failing"


async def test_change_of_the_order_continues_where_it_was(eventing: Eventing, sink: StartSink) -> None:
    received = await sink()
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    await eventing.send(event(1))
    await received.wait(1)

    eventing.trigger("a", received.url, order="ordered")
    await eventing.send(event(2))

    await received.wait(2)
    assert received.ids == ["e1", "e2"]


async def test_kill_gives_up_the_attempts_in_flight(eventing: Eventing, sink: StartSink) -> None:
    go = asyncio.Event()

    async def wait(_: Event) -> web.Response:
        await go.wait()
        return respond()

    received = await sink(wait)
    eventing.trigger("a", received.url)
    await eventing.ready("a")
    await eventing.send(event(1))
    await received.wait(1)
    closing = asyncio.create_task(eventing.triggers.close())
    await asyncio.sleep(0)

    eventing.triggers.kill()

    await closing
    go.set()
    eventing.trigger("a", received.url)
    await received.wait(2)
    assert received.ids == ["e1", "e1"]


async def test_changed_subscriber_gets_the_event_that_waits_for_a_retry(eventing: Eventing, sink: StartSink) -> None:
    async def fail(_: Event) -> web.Response:
        return respond(status=503)

    broken, repaired = await sink(fail), await sink()
    eventing.trigger("a", broken.url, order="ordered", delivery={"retry": 5, "backoffDelay": "PT1H"})
    await eventing.ready("a")
    await eventing.send(event(1, partitionkey="k"))
    await eventing.send(event(2, partitionkey="k"))
    await broken.wait(1)
    await until(lambda: counts(eventing).retries == 1)

    eventing.trigger("a", None, order="ordered")
    eventing.trigger("a", repaired.url, order="ordered")

    await repaired.wait(2)
    assert (broken.ids, repaired.ids) == (["e1"], ["e1", "e2"])


async def test_course_of_an_event_is_kept_with_its_attempts_and_its_outcome(eventing: Eventing, sink: StartSink) -> None:
    async def answer(received: Event) -> web.Response:
        return respond(status=503) if received.id == "e1" else respond(event(9, type="reply", id="r"))

    received, dead = await sink(answer), await sink()
    eventing.trigger("a", received.url, dead_letter=dead.url, delivery={**RETRIES, "deadLetterSink": {"uri": dead.url}})
    eventing.trigger("b", received.url, filters=[{"exact": {"type": "none"}}])
    await eventing.ready("a", "b")
    await eventing.send(event(1))
    await eventing.send(event(2))
    deliveries = eventing.triggers.deliveries
    await until(lambda: len(deliveries.of("/test", "e1")) == len(deliveries.of("/test", "e2")) == 2)
    await until(lambda: all(found.seconds is not None for id_ in ("e1", "e2") for found in deliveries.of("/test", id_)))

    courses = {(id_, found.trigger): found for id_ in ("e1", "e2") for found in deliveries.of("/test", id_)}
    failed, replied = courses["e1", "a"], courses["e2", "a"]
    assert (failed.outcome, failed.attempts, failed.status, failed.cause) == ("dead-lettered", 4, 503, f"{received.url} answered 503")
    assert (replied.outcome, replied.status, replied.cause) == ("delivered", 200, "")
    assert replied.reply == {"source": "/test", "id": "r", "type": "reply"}
    assert [courses[id_, "b"].outcome for id_ in ("e1", "e2")] == ["filtered", "filtered"]
