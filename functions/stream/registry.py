"""The client of a schema registry (the HTTP API of Confluent's, which others have too): schemas by id, and nothing else."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import orjson

from common.errors import InvalidEvent
from common.redaction import redact, redact_url
from eventing.codecs import avro, protobuf, registry
from functions.stream.schemas import RegistryUnavailable
from functions.stream.settings import Registry

_ACCEPT = {"accept": "application/vnd.schemaregistry.v1+json, application/json", "accept-encoding": "identity"}
_MOST_BYTES = 4 * 2**20
_MOST_REFERENCES = 256
_DETAIL_LENGTH = 300
# Protobuf schemas as descriptors rather than as text, which only a compiler reads.
_SERIALIZED = "?format=serialized"
# The registry's own codes: of an unknown subject, version and schema. Any other 404 is of a wrong URL.
_UNKNOWN = {40401, 40402, 40403}


@dataclass(frozen=True, slots=True)
class _Found:
    schema: str
    kind: str
    references: list[dict[str, Any]]


class RegistryClient:
    """Fetches schemas from one registry. It follows no redirects, and what a schema refers to is fetched there too."""

    def __init__(self, session: aiohttp.ClientSession, settings: Registry) -> None:
        self._session = session
        self._settings = settings
        parts = urlsplit(settings.url)
        userinfo, at, host = parts.netloc.rpartition("@")
        self._base = parts._replace(netloc=host).geturl().rstrip("/")
        self._userinfo = unquote(userinfo) if at else None
        self.url = redact_url(settings.url)
        """For messages, without credentials."""

    async def reader(self, schema: int) -> registry.Reader:
        """Return a reader of the values of a schema.

        Raises InvalidEvent for a schema that the registry does not have or that cannot be read, and RegistryUnavailable.
        """
        found = await self._by_id(schema)
        try:
            return await self._reader_of(schema, found)
        except InvalidEvent as error:
            raise InvalidEvent(f"schema {schema} of the registry: {error.message}", remedy=error.remedy) from None

    async def _by_id(self, schema: int, query: str = "") -> _Found:
        return await self._get(f"/schemas/ids/{schema}{query}", f"the schema {schema}")

    async def _reader_of(self, schema: int, found: _Found) -> registry.Reader:
        if found.kind == "JSON":
            return registry.read_json
        if found.kind == "AVRO":
            references = await self._references(found)
            return await asyncio.to_thread(avro.reader_of, found.schema, list(references.values()))
        if found.kind == "PROTOBUF":
            serialized = await self._by_id(schema, _SERIALIZED)
            references = await self._references(found, _SERIALIZED)
            return await asyncio.to_thread(protobuf.reader_of, serialized.schema, references)
        raise InvalidEvent(f"it is of the type {found.kind[:40]!r}", remedy="publish values of the type AVRO, PROTOBUF or JSON")

    async def _references(self, found: _Found, query: str = "") -> dict[str, str]:
        """Return what a schema refers to by its names, each after what that refers to itself."""
        collected: dict[str, str] = {}
        await self._collect(found, query, collected, set())
        return collected

    async def _collect(self, found: _Found, query: str, collected: dict[str, str], open_: set[str]) -> None:
        for reference in found.references:
            try:
                name, subject, version = str(reference["name"]), str(reference["subject"]), int(reference["version"])
            except (KeyError, TypeError, ValueError):
                raise RegistryUnavailable(f"{self.url} answered with a reference without name, subject and version.") from None
            if name in collected or name in open_:
                continue
            if len(collected) + len(open_) >= _MOST_REFERENCES:
                raise InvalidEvent(f"it refers to more than {_MOST_REFERENCES} schemas.")
            what = f"version {version} of the subject {subject[:200]!r}"
            needed = await self._get(f"/subjects/{quote(subject, safe='')}/versions/{version}{query}", what)
            await self._collect(needed, query, collected, open_ | {name})
            collected[name] = needed.schema

    async def _get(self, path: str, what: str) -> _Found:
        try:
            headers = _ACCEPT | await self._authorization()
            async with self._session.get(self._base + path, headers=headers, allow_redirects=False) as response:
                body = await _read_body(response)
                status = response.status
        except TimeoutError:
            raise RegistryUnavailable(f"the schema registry {self.url} did not answer in time.") from None
        except (aiohttp.ClientError, ValueError) as error:
            reason = (redact(str(error)) or type(error).__name__)[:_DETAIL_LENGTH]
            raise RegistryUnavailable(f"the schema registry {self.url} cannot be reached: {reason}.") from None
        if len(body) > _MOST_BYTES:
            raise InvalidEvent(f"{what} has more than {_MOST_BYTES} bytes.")
        return self._parsed(status, body, what)

    def _parsed(self, status: int, body: bytes, what: str) -> _Found:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        if status == 404 and answer.get("error_code") in _UNKNOWN:
            raise InvalidEvent(
                f"the schema registry {self.url} does not have {what}", remedy="register it, or publish to the right registry"
            )
        schema, kind, references = answer.get("schema"), answer.get("schemaType") or "AVRO", answer.get("references") or []
        if status != 200 or not isinstance(schema, str) or not isinstance(kind, str) or not isinstance(references, list):
            reason = redact(body.decode(errors="replace"))[:_DETAIL_LENGTH]
            raise RegistryUnavailable(f"the schema registry {self.url} answered {status}: {reason or '(no reason was given)'}")
        return _Found(schema, kind, references)

    async def _authorization(self) -> dict[str, str]:
        """Return the header with the credentials. Their file is read at each call, since a mounted Secret changes."""
        credentials = self._userinfo
        if self._settings.credentials_file is not None:
            credentials = await asyncio.to_thread(_read_credentials, Path(self._settings.credentials_file))
        return {} if credentials is None else {"authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


def _read_credentials(file: Path) -> str:
    try:
        text = file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RegistryUnavailable(f"the credentials of the schema registry cannot be read from {file} ({reason}).") from None
    if ":" not in text:
        raise RegistryUnavailable(f"the file {file} with the credentials of the schema registry holds no user:password.")
    return text


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body; of one that is too long only a little more, and close the connection."""
    chunks, size = [], 0
    while size <= _MOST_BYTES and (chunk := await response.content.read(64 * 1024)):
        chunks.append(chunk)
        size += len(chunk)
    if size > _MOST_BYTES:
        response.close()
    return b"".join(chunks)
