"""The ConfigMaps of a store, as a mapping that shows their present data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tidegate.local.apiserver.store import Store
from tidegate.local.objects.kinds import CONFIG_MAPS


class ConfigMaps(Mapping[str, Mapping[str, str]]):
    """The data of each ConfigMap by its name. A process reads them when it is started, as a container does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, name: str) -> Mapping[str, str]:
        item = self._store.find(CONFIG_MAPS, name)
        if item is None:
            raise KeyError(name)
        data: Mapping[str, str] = item.get("data") or {}
        return data

    def __iter__(self) -> Iterator[str]:
        return iter([item["metadata"]["name"] for item in self._store.list(CONFIG_MAPS)])

    def __len__(self) -> int:
        return len(self._store.list(CONFIG_MAPS))
