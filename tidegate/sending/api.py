"""What `tidegate send` asks of the API of a running `tidegate up`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import aiohttp

from functions.runtime.knative.objects import condition
from tidegate.local.eventing.delivery.deliveries import DeliveryStatus
from tidegate.local.eventing.overview import TriggerStatus
from tidegate.local.objects.kinds import BY_PLURAL, api_root
from tidegate.sending.errors import Unreachable
from tidegate.sending.receivers import RESOURCES, Receiver

_SECONDS = 10.0


class Api:
    """The Kubernetes API of `tidegate up`, and its own paths beside it."""

    def __init__(self, client: aiohttp.ClientSession, url: str, token: str) -> None:
        self._client = client
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def receivers(self) -> list[Receiver]:
        """Return everything that accepts events."""
        lists = [await self._get(f"{api_root(BY_PLURAL[resource].api_versions[0])}/{resource}") for resource in RESOURCES]
        return [_receiver(resource, item) for resource, found in zip(RESOURCES, lists, strict=True) for item in found["items"]]

    async def triggers(self, broker: Receiver) -> list[TriggerStatus]:
        """Return the Triggers of a Broker."""
        found = (await self._get("/tidegate/status"))["eventing"]["triggers"]
        triggers = [cast("TriggerStatus", item) for item in found]
        return [item for item in triggers if (item["broker_namespace"], item["broker"]) == (broker.namespace, broker.name)]

    async def deliveries(self, source: str, id_: str) -> list[DeliveryStatus]:
        """Return the deliveries of an event so far."""
        found = await self._get("/tidegate/deliveries", {"source": source, "id": id_})
        return cast("list[DeliveryStatus]", found["deliveries"])

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_SECONDS), self._client.get(f"{self._url}{path}", params=query, headers=self._headers) as response:
                response.raise_for_status()
                return cast("dict[str, Any]", await response.json())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            cause = str(error) or type(error).__name__
            raise Unreachable(f"tidegate up does not answer at {self._url}: {cause}", remedy="try again, or restart it") from None


def _receiver(resource: str, item: Mapping[str, Any]) -> Receiver:
    status, metadata, ready = item.get("status") or {}, item["metadata"], condition(item, "Ready") or {}
    return Receiver(
        kind=BY_PLURAL[resource].kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        url=(status.get("address") or {}).get("url"),
        reason=ready.get("message") or ready.get("reason") or "",
    )
