"""The gateway's own page: the running services and the addresses that accept events, as HTML or JSON.

It shows names, traffic and counts to every client of the gateway and is read only; changes need the token of the API.
"""

from __future__ import annotations

from html import escape

from aiohttp import web

from tidegate.local import status
from tidegate.local.controller.controller import Controller
from tidegate.local.eventing.overview import Receiver, receivers


def page(controller: Controller, request: web.BaseRequest) -> web.Response:
    """Answer a request to the gateway itself."""
    if request.path != "/":
        return web.json_response(
            {"error": f"no service at {request.host}; call one by its host: {', '.join(controller.table.names)}."}, status=404
        )
    if request.method not in ("GET", "HEAD"):
        return web.json_response(
            {"error": f"method {request.method} not allowed for /; send GET."}, status=405, headers={"Allow": "GET, HEAD"}
        )
    services, accepting = status.services(controller), receivers(controller.store)
    if "text/html" in request.headers.get("Accept", ""):
        return web.Response(text=_html(services, accepting), content_type="text/html")
    return web.json_response({"services": services, "receivers": accepting})


def _html(services: dict[str, status.ServiceStatus], accepting: list[Receiver]) -> str:
    rows = "".join(_row(name, service, revision) for name, service in services.items() for revision in service["revisions"])
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>tidegate</title>"
        "<style>body{font-family:sans-serif;margin:2em}td,th{padding:.3em 1em;text-align:left}</style>"
        "<h1>tidegate</h1><table><tr><th>service<th>revision<th>traffic<th>tags<th>replicas<th>why</tr>"
        f"{rows}</table>{_receivers(accepting)}</html>"
    )


def _receivers(found: list[Receiver]) -> str:
    """The addresses that accept events. They are no links, since a browser cannot send an event."""
    if not found:
        return ""
    cells = ((item["kind"], item["namespace"], item["name"], item["address"], "yes" if item["ready"] else item["reason"]) for item in found)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}' for cell in row)}</tr>" for row in cells)
    return f"<h2>events</h2><table><tr><th>kind<th>namespace<th>name<th>address<th>ready</tr>{rows}</table>"


def _row(name: str, service: status.ServiceStatus, revision: status.RevisionStatus) -> str:
    link = f'<a href="{escape(service["url"])}">{escape(name)}</a>'
    ready = sum(replica["state"] == "ready" for replica in revision["replicas"])
    why = revision["problem"] or revision["reason"]
    cells = (revision["name"], f"{revision['percent']}%", ", ".join(revision["tags"]), str(ready), why)
    return f"<tr><td>{link}{''.join(f'<td>{escape(cell)}' for cell in cells)}</tr>"
