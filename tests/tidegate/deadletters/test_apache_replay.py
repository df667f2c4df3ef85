"""Apache Kafka, by its address: it has an index of times, and a limit of the size of records."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from eventing.kafka.factory import cluster_of
from eventing.kafka.port import Broker, TopicPartition
from tests.fixtures.deadletters import Record, letter_of

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache

Call = Callable[..., subprocess.CompletedProcess[str]]


def test_letters_since_a_time_are_replayed_and_one_too_large_is_refused(apache: Apache, deadletters: Call) -> None:
    servers = apache.at("PLAINTEXT")
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        source = NewTopic("small.departed", 2, 1, topic_configs={"max.message.bytes": "4096"})
        admin.create_topics([source, NewTopic("small.deadletter", 2, 1)])
    cluster = cluster_of(Broker(servers))
    producer = cluster.producer()

    def write(numbers: range, size: int = 10) -> None:
        for number in numbers:
            headers = [("ce_specversion", b"1.0"), ("ce_id", b"%d" % number), ("ce_source", b"/a"), ("ce_type", b"t")]
            value = b'"%s"' % (b"x" * size)
            producer.send("small.deadletter", letter_of(Record(b"%d" % number, value, headers, "small.departed", 0, number)), number % 2)
        producer.flush(30.0)

    write(range(10))
    since = int(time.time() * 1000 + 2) / 1000  # a whole millisecond, to which --since is rounded
    while time.time() <= since:  # the next record is not of an earlier one
        time.sleep(0.001)
    write(range(10, 40))
    write(range(40, 41), size=5000)
    producer.close()

    def run(command: str, *options: str) -> tuple[int, dict[str, object]]:
        done = deadletters(command, "small.deadletter", "--bootstrap-servers", servers, "--json", *options)
        return done.returncode, json.loads(done.stdout)

    after = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)) + f".{int(since % 1 * 1e6):06}Z"
    status, account = run("replay", "--since", after)
    assert (status, account["read"], account["replayed"], account["refused"]) == (1, 31, 30, 1)
    _, found = run("list")
    assert (found["read"], found["open"], found["replayed"]) == (41, 11, 30)
    status, account = run("replay", "--since", after)
    assert (account["replayed"], account["refused"]) == (0, 1)
    consumer = cluster.consumer()
    ends = consumer.end_offsets([TopicPartition("small.departed", number) for number in range(2)])
    consumer.close()
    assert sum(ends.values()) == 30
