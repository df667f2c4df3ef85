"""Jobs on disk, so that they outlive `tidegate up`: for each a private folder with the object and its event.

<root>/<namespace>/<name>/job.json     the object, with its status
<root>/<namespace>/<name>/event/event  the CloudEvent in JSON, if a JobSink made the Job
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tidegate.local.apiserver.private import write_private
from tidegate.local.objects.validation import Object

log = logging.getLogger("tidegate.local")

_JOB, _EVENT = "job.json", "event"
_OWNER_ONLY = 0o700
# Names of Kubernetes' objects, which are also safe as names of folders.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class JobFiles:
    """The folder of all Jobs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save_event(self, namespace: str, name: str, event: bytes) -> None:
        """Write the event of a Job that will be saved next. Raises OSError."""
        folder = self._folder(namespace, name) / _EVENT
        folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        write_private(folder / _EVENT, event.decode())

    def save(self, item: Object) -> None:
        """Write a Job, replacing its former state at once. Raises OSError."""
        folder = self._folder(item["metadata"]["namespace"], item["metadata"]["name"])
        folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        write_private(folder / _JOB, json.dumps(item))

    def event_folder(self, namespace: str, name: str) -> Path | None:
        """The folder that holds the event of a Job in the file `event`, or None if no event made the Job."""
        folder = self._folder(namespace, name) / _EVENT
        return folder if (folder / _EVENT).is_file() else None

    def has(self, namespace: str, name: str) -> bool:
        """Whether a Job is saved."""
        return (self._folder(namespace, name) / _JOB).is_file()

    def delete(self, namespace: str, name: str) -> None:
        """Remove everything of a Job."""
        shutil.rmtree(self._folder(namespace, name), ignore_errors=True)

    def load(self) -> list[Object]:
        """The saved Jobs. A folder without a readable one belongs to a Job that was never accepted, and is removed."""
        return list(self._load())

    def _load(self) -> Iterator[Object]:
        for folder in sorted(self._root.glob("*/*")):
            try:
                item: Object = json.loads((folder / _JOB).read_text("utf-8"))
                if (item["metadata"]["namespace"], item["metadata"]["name"]) != (folder.parent.name, folder.name):
                    raise ValueError("it is the file of another Job")
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("the Job in %s cannot be read and is removed: %s", folder, error)
                shutil.rmtree(folder, ignore_errors=True)
            else:
                yield item

    def _folder(self, namespace: str, name: str) -> Path:
        for part in (namespace, name):
            if not _NAME.fullmatch(part):
                raise ValueError(f"{part!r} is not a name of a Kubernetes object")
        return self._root / namespace / name
