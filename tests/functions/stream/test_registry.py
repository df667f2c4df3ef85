"""The client of a schema registry against a server of its API."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf import descriptor_pb2, json_format

from common import http_client
from common.errors import InvalidEvent
from eventing.codecs.registry import Reader
from functions.stream.registry import RegistryClient
from functions.stream.schemas import RegistryUnavailable
from functions.stream.settings import Registry
from tests.functions.stream.schema_registry import SchemaRegistry

LEG: dict[str, Any] = {"type": "record", "name": "air.Leg", "fields": [{"name": "to", "type": "air.Place"}]}
PLACE: dict[str, Any] = {"type": "record", "name": "air.Place", "fields": [{"name": "code", "type": "string"}]}


def serialized(file: dict[str, Any]) -> str:
    """Return a Protobuf schema as a registry answers with it when it is asked for `format=serialized`."""
    return base64.b64encode(json_format.ParseDict(file, descriptor_pb2.FileDescriptorProto()).SerializeToString()).decode()


REGISTRY = SchemaRegistry(
    schemas={
        1: {"schema": '"string"'},
        2: {
            "schema": json.dumps({"type": "array", "items": "air.Leg"}),
            "schemaType": "AVRO",
            "references": [{"name": "air.Leg", "subject": "legs/all", "version": 3}],
        },
        3: {"schema": "{}", "schemaType": "JSON"},
        4: {"schema": "<flight/>", "schemaType": "XML"},
        5: {"schema": '"strong"'},
        6: {"schema": '"lost"', "references": [{"name": "lost", "subject": "lost", "version": 1}]},
        7: {"schema": '"' + "x" * 5_000_000 + '"'},
        8: {
            "schema": 'syntax = "proto3"; import "place.proto"; message Leg { Place to = 1; }',
            "schemaType": "PROTOBUF",
            "references": [{"name": "place.proto", "subject": "place.proto", "version": 1}],
            "serialized": serialized(
                {
                    "name": "default",
                    "syntax": "proto3",
                    "dependency": ["place.proto"],
                    "messageType": [{"name": "Leg", "field": [{"name": "to", "number": 1, "type": "TYPE_MESSAGE", "typeName": ".Place"}]}],
                }
            ),
        },
        9: {"schema": 'syntax = "proto3"; message Leg {}', "schemaType": "PROTOBUF"},
    },
    subjects={
        ("legs/all", 3): {"schema": json.dumps(LEG), "references": [{"name": "air.Place", "subject": "places", "version": 1}]},
        ("places", 1): {"schema": json.dumps(PLACE)},
        ("place.proto", 1): {
            "schema": 'syntax = "proto3"; message Place { string code = 1; }',
            "serialized": serialized(
                {
                    "name": "default",
                    "syntax": "proto3",
                    "messageType": [{"name": "Place", "field": [{"name": "code", "number": 1, "type": "TYPE_STRING"}]}],
                }
            ),
        },
    },
)


async def reader(url: str, schema: int, credentials_file: str | None = None, path: str = "") -> Reader:
    async with http_client.session(timeout_seconds=5) as session:
        return await RegistryClient(session, Registry(url=url + path, credentials_file=credentials_file)).reader(schema)


async def test_schemas_of_all_types_and_their_references_are_read() -> None:
    async with REGISTRY.serving() as url:
        assert (await reader(url, 1))(b"\x04ab") == b'"ab"'
        assert (await reader(url, 2))(b"\x02\x06LGA\x00") == b'[{"to":{"code":"LGA"}}]'
        assert (await reader(url, 8))(b"\x00\x0a\x05\x0a\x03LGA") == b'{"to":{"code":"LGA"}}'
        assert orjson.loads((await reader(url, 3))(b'{"a":1}')) == {"a": 1}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (99, "does not have the schema 99; register it"),
        (4, "of the type 'XML'; publish values of the type AVRO, PROTOBUF or JSON"),
        (5, "schema 5 of the registry: the Avro schema is invalid: strong"),
        (6, "does not have version 1 of the subject 'lost'"),
        (9, "schema 9 of the registry: the registry has its text only; use a registry that answers with serialized"),
        (7, "the schema 7 has more than 4194304 bytes"),
    ],
)
async def test_schema_that_cannot_be_used_is_refused(schema: int, reason: str) -> None:
    async with REGISTRY.serving() as url:
        with pytest.raises(InvalidEvent, match=reason):
            await reader(url, schema)


async def test_registry_that_is_away_is_not_a_missing_schema() -> None:
    away = SchemaRegistry(REGISTRY.schemas)
    async with away.serving() as url:
        with pytest.raises(RegistryUnavailable, match=r"answered 404: 404: Not Found"):
            await reader(url, 1, path="/wrong")
        for status in (401, 429, 500, 503):
            away.status = status
            with pytest.raises(RegistryUnavailable, match=rf"answered {status}: no leader"):
                await reader(url, 1)
    with pytest.raises(RegistryUnavailable, match="cannot be reached"):
        await reader(url, 1)


async def test_redirect_to_another_host_is_not_followed() -> None:
    other, away = SchemaRegistry(REGISTRY.schemas), SchemaRegistry(status=307)
    async with other.serving() as elsewhere, away.serving() as url:
        away.headers = {"location": f"{elsewhere}/schemas/ids/1"}
        with pytest.raises(RegistryUnavailable, match="answered 307"):
            await reader(url, 1)
    assert other.calls == []


async def test_credentials_are_sent_and_never_shown(tmp_path: Path) -> None:
    guarded, file = SchemaRegistry(REGISTRY.schemas, credentials="alice:correct:horse"), tmp_path / "credentials"
    async with guarded.serving() as url:
        file.write_text("alice:correct:horse\n", "utf-8")
        assert (await reader(url, 1, str(file)))(b"\x00") == b'""'
        assert (await reader(url.replace("//", "//alice:correct%3Ahorse@"), 1))(b"\x00") == b'""'

        file.write_text("alice:wrong-horse", "utf-8")
        for refused, given in ((url, str(file)), (url.replace("//", "//alice:wrong-horse@"), None)):
            with pytest.raises(RegistryUnavailable, match="answered 401") as error:
                await reader(refused, 1, given)
            assert "horse" not in str(error.value)
        for content, reason in ((b"alice", "holds no user:password"), (b"\xff:", "it is not UTF-8")):
            file.write_bytes(content)
            with pytest.raises(RegistryUnavailable, match=reason):
                await reader(url, 1, str(file))
        file.unlink()
        with pytest.raises(RegistryUnavailable, match="No such file"):
            await reader(url, 1, str(file))


async def test_unreachable_registry_is_named_without_its_password() -> None:
    with pytest.raises(RegistryUnavailable, match="cannot be reached") as error:
        await reader("http://alice:horse@127.0.0.1:1", 1)
    assert "horse" not in str(error.value)
