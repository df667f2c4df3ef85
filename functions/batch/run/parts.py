"""The output of a run, part by part: rows in their order, a file for each part, and its entry in the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pyarrow as pa

from functions.batch.run.manifest import Entry, RejectedRow
from functions.batch.run.pieces import End, Item, Unreadable
from functions.batch.run.plan import PartId
from functions.batch.run.rejects import Rejects
from functions.batch.run.scoring import Scored
from functions.batch.run.workspace import Workspace
from functions.batch.storage import Sink


class PartWriter:
    """Writes the parts of a run, one after the other. It is used by one thread at a time."""

    def __init__(
        self, workspace: Workspace, schema: pa.Schema, rejects: Rejects, finished: Callable[[Entry], None] = lambda _: None
    ) -> None:
        self._workspace = workspace
        self._schema = schema
        self._rejects = rejects
        self._finished = finished
        self._part: PartId | None = None
        self._stack = ExitStack()
        self._begin()

    def write(self, item: Item, scored: Scored | None) -> None:
        """Write an item of the reader, with the scores of its rows. Raises TooManyRejects and WriteFailed."""
        sink = self._sink_of(item.part)
        if isinstance(item, End):
            self._end(item, sink)
            return
        rejects = [item.reject] if isinstance(item, Unreadable) else scored.rejects if scored else []
        for reject in rejects:
            self._rejects.add(item.part.file, reject)
        self._rejected += rejects
        if scored is not None:
            for batch in scored.batches:
                sink.write(batch)
            self._revisions.update(scored.revisions)

    def close(self) -> None:
        """Remove the file of an unfinished part."""
        stack, self._stack = self._stack, ExitStack()
        stack.__exit__(_Unfinished, _Unfinished(), None)

    def _begin(self) -> None:
        self._sink: Sink | None = None
        self._rejected: list[RejectedRow] = []
        self._revisions: Counter[str] = Counter()

    def _sink_of(self, part: PartId) -> Sink:
        if self._sink is None:
            self._sink = self._stack.enter_context(self._workspace.write_part(part, self._schema))
        return self._sink

    def _end(self, item: End, sink: Sink) -> None:
        self._stack.close()
        entry = Entry(
            file=item.part.file,
            span=item.part.span,
            read=item.read,
            rows=sink.rows,
            name=self._workspace.part_name(item.part),
            size=sink.bytes,
            digest=f"sha256:{sink.sha256}",
            last=item.last,
            revisions=dict(sorted(self._revisions.items())),
            rejects=tuple(sorted(self._rejected, key=lambda reject: reject.row)),
        )
        self._workspace.save_entry(entry)
        self._begin()
        self._finished(entry)


class _Unfinished(Exception):
    """The file of a part is not complete."""
