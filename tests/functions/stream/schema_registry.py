"""A server of the part of the registry's HTTP API that is called, as its documentation describes it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


@dataclass
class SchemaRegistry:
    """Schemas by id and by subject, with `serialized` what is answered for that format.

    A `status` other than 200 is a registry that is away.
    """

    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    subjects: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    credentials: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def by_id(self, request: web.Request) -> web.Response:
        found = self.schemas.get(int(request.match_info["id"]))
        return self._answer(request, found, 40403, "Schema not found")

    async def by_subject(self, request: web.Request) -> web.Response:
        found = self.subjects.get((request.match_info["subject"], int(request.match_info["version"])))
        return self._answer(request, found, 40401, "Subject not found")

    def _answer(self, request: web.Request, found: dict[str, Any] | None, code: int, reason: str) -> web.Response:
        self.calls.append(request.path)
        if self.status != 200:
            return web.Response(status=self.status, headers=self.headers, text="no leader")
        wanted = None if self.credentials is None else "Basic " + base64.b64encode(self.credentials.encode()).decode()
        if wanted is not None and request.headers.get("authorization") != wanted:
            return web.json_response({"error_code": 40101, "message": "Unauthorized"}, status=401, content_type=MEDIA_TYPE)
        if found is None:
            return web.json_response({"error_code": code, "message": reason}, status=404, content_type=MEDIA_TYPE)
        if request.query.get("format") == "serialized" and "serialized" in found:
            found = {**found, "schema": found["serialized"]}
        return web.json_response({name: value for name, value in found.items() if name != "serialized"}, content_type=MEDIA_TYPE)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/schemas/ids/{id}", self.by_id)
        app.router.add_get("/subjects/{subject}/versions/{version}", self.by_subject)
        server = TestServer(app)
        await server.start_server()
        try:
            yield str(server.make_url("")).rstrip("/")
        finally:
            await server.close()
