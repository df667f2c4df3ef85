from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from common.errors import InvalidEvent
from eventing.codecs.registry import Reader
from functions.stream import schemas as module
from functions.stream.schemas import RegistryUnavailable, Schemas


def same(value: bytes) -> bytes:
    return value


async def found(schemas: Schemas, schema: int) -> Reader | InvalidEvent:
    while (kept := schemas.get(schema)) is None:  # noqa: ASYNC110 a round of the worker asks as often
        await asyncio.sleep(0)
    return kept


async def test_schema_is_fetched_once_and_only_so_many_are_kept() -> None:
    calls = Counter[int]()

    async def fetch(schema: int) -> Reader:
        calls[schema] += 1
        return same

    schemas = Schemas(fetch, most=2)
    for schema in (1, 2, 1, 3, 1, 2):
        assert await found(schemas, schema) is same
    assert calls == {1: 1, 2: 2, 3: 1}


async def test_unknown_schema_is_asked_for_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Reader | InvalidEvent] = [InvalidEvent("unknown."), same]

    async def fetch(_: int) -> Reader:
        answer = answers.pop(0)
        if isinstance(answer, InvalidEvent):
            raise answer
        return answer

    schemas = Schemas(fetch)
    assert isinstance(await found(schemas, 1), InvalidEvent)
    assert isinstance(await found(schemas, 1), InvalidEvent)
    loop = asyncio.get_running_loop()
    later = loop.time() + 11
    monkeypatch.setattr(loop, "time", lambda: later)
    assert await found(schemas, 1) is same


async def test_registry_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda _: 0.0)
    troubles: list[str] = []

    async def fetch(_: int) -> Reader:
        troubles.append(schemas.trouble)
        if len(troubles) < 3:
            raise RegistryUnavailable(f"away {len(troubles)}.")
        return same

    schemas = Schemas(fetch)
    assert await found(schemas, 1) is same
    assert (troubles, schemas.trouble) == (["", "away 1.", "away 2."], "")


async def test_unexpected_failure_is_raised() -> None:
    async def fetch(_: int) -> Reader:
        raise RuntimeError("unexpected")

    with pytest.raises(RuntimeError, match="unexpected"):
        await found(Schemas(fetch), 1)


async def test_closed_schemas_fetch_no_more() -> None:
    asked = asyncio.Event()

    async def fetch(_: int) -> Reader:
        asked.set()
        await asyncio.Event().wait()
        return same

    schemas = Schemas(fetch)
    assert schemas.get(1) is None
    await asked.wait()
    await schemas.close()
    assert all(task is asyncio.current_task() for task in asyncio.all_tasks())
