"""`tidegate batch`: score a dataset, go on with an unfinished run, and look runs up."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, StateDir, router

if TYPE_CHECKING:
    from tidegate.batches import Record

Url = Annotated[str | None, typer.Option(envvar="TIDEGATE_URL", help="The router. By default that of the running `tidegate up`.")]
MaxRejects = Annotated[
    int, typer.Option("--max-rejects", envvar="TIDEGATE_MAX_REJECTS", min=0, help="Rows that may be left out, with their reason.")
]

# `tidegate batch` has arguments of its own, so that these are commands of another application.
app = typer.Typer(name="tidegate batch", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
SUBCOMMANDS = ("resume", "list", "show")


def batch(
    input_: Annotated[
        str, typer.Argument(metavar="INPUT", help="The file, folder, pattern or URI to score; columns that are not inputs are kept.")
    ],
    output: Annotated[
        str,
        typer.Argument(help="The file or folder to write: the columns of the input, the outputs, and with --key the revision."),
    ],
    model: Annotated[str, typer.Option(envvar="TIDEGATE_MODEL_NAME", help="The model's name.")],
    key: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_KEY", metavar="COLUMN", help="The column by which rows stick to a revision during a canary."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_REVISION", help="The revision or tag that scores all rows, whatever the traffic.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_COLUMNS", metavar="NAME,…", help="The columns to read; by default all of them.")
    ] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", envvar="TIDEGATE_FILTER", help="The rows to score, such as 'distance > 500'.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", envvar="TIDEGATE_FORMAT", help="parquet, csv, jsonl or arrow, where the name does not show it."),
    ] = None,
    max_rejects: MaxRejects = 0,
    incremental: Annotated[
        bool, typer.Option("--incremental", envvar="TIDEGATE_INCREMENTAL", help="Add the files that the output does not have yet.")
    ] = False,
    shards: Annotated[
        int, typer.Option("--shards", envvar="TIDEGATE_SHARDS", min=1, help="Processes that share the work; each takes a core and memory.")
    ] = 1,
    url: Url = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", envvar="TIDEGATE_OVERWRITE", help="Replace an output that exists.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Score a dataset through a model.

    The output appears when it is complete, or not at all. Ctrl-C leaves a run that `tidegate batch resume` continues;
    `tidegate batch list` and `tidegate batch show RUN` show runs.
    """
    from tidegate import batches

    asked = {
        "model": model,
        "input": input_,
        "output": output,
        "key": key,
        "revision": revision,
        "columns": columns.split(",") if columns else None,
        "filter": filter_,
        "format": format_,
        "max_rejects": max_rejects,
        "incremental": incremental,
        "overwrite": overwrite,
        "shards": shards,
    }
    _run(batches.new(asked, router(url, state_dir)), state_dir, as_json)


@app.command()
def resume(
    run: Annotated[str | None, typer.Argument(help="The run, its beginning or its output; by default the last unfinished one.")] = None,
    max_rejects: Annotated[
        int | None, typer.Option("--max-rejects", envvar="TIDEGATE_MAX_REJECTS", min=0, help="Another limit of rows that are left out.")
    ] = None,
    url: Url = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Go on with an unfinished run; nothing that is finished is scored again."""
    from tidegate import batches

    record = batches.again(batches.find(state_dir, run) if run else batches.unfinished(state_dir))
    if max_rejects is not None:
        record = replace(record, request={**record.request, "max_rejects": max_rejects})
    if url or not record.url:
        record = replace(record, url=router(url, state_dir))
    _run(record, state_dir, as_json)


@app.command("list")
def list_(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: AsJson = False) -> None:
    """List the runs that were started here."""
    import orjson

    from tidegate import batches

    found = batches.load_all(state_dir)
    if as_json:
        print(orjson.dumps([_shown(record) for record in found]).decode())
        return
    for record in found:
        print(f"{record.run}  {record.current_state:<8}  {record.request['model']}  {record.request['output']}")


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="The run or its beginning; or its output, also of a run by a Job.")],
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show a run: what it scores, how far it is, and what came of it."""
    import orjson

    from functions.batch.run import inspection
    from tidegate import batches

    try:
        record = batches.find(state_dir, run)
    except batches.UnknownRun:
        # A Job has no record here, but its output has a manifest.
        shown = inspection.state_of(run, None)
        if not shown:
            raise
    else:
        shown = {**_shown(record), **inspection.state_of(record.request["output"], record.run)}
    if as_json:
        print(orjson.dumps(shown).decode())
        return
    for name, value in shown.items():
        if value not in (None, "", {}, False):
            print(f"{name:<16}{value}")


def _run(record: Record, state_dir: Path, as_json: bool) -> None:
    """Run a batch with a bar, and record what comes of it."""
    import asyncio

    import orjson

    from common.errors import TidegateError
    from functions.batch import job
    from functions.batch.request import BatchRequest
    from functions.batch.run.memory import use_little_memory
    from functions.batch.settings import limits_from
    from tidegate import batch_shards, batches
    from tidegate.batch_progress import shown_progress

    asked = {**record.request, "columns": tuple(record.request["columns"]) if record.request.get("columns") else None}
    request = BatchRequest(**asked, run=record.run)
    use_little_memory()
    batches.save(state_dir, record)
    try:
        with shown_progress(Path(request.input).name or request.input) as progress:
            if request.shards and request.shards > 1:
                summary = batch_shards.run(request, request.shards, record.url, limits_from(), progress)
            else:
                summary = asyncio.run(job.run(request, url=record.url, progress=progress, limits=limits_from()))
    except KeyboardInterrupt:
        batches.save(state_dir, replace(record, state=batches.STOPPED))
        print(f"tidegate: stopped; `tidegate batch resume {record.run}` goes on with it.", file=sys.stderr)
        raise
    except TidegateError as error:
        batches.save(state_dir, replace(record, state=batches.FAILED, error=error.message))
        raise
    result: dict[str, Any] = {"model": request.model, "input": request.input, "output": request.output, **summary.to_dict()}
    batches.save(state_dir, replace(record, state=batches.COMPLETE, result=result))
    rejected = f", {summary.rejects:,} rejected" if summary.rejects else ""
    text = f"{summary.rows:,} rows scored into {request.output} in {summary.seconds:.1f} s{rejected}"
    print(orjson.dumps(result).decode() if as_json else text)


def _shown(record: Record) -> dict[str, Any]:
    asked = {name: value for name, value in record.request.items() if value not in (None, False)}
    return {"run": record.run, "state": record.current_state, "started": record.started, **asked, "error": record.error, **record.result}
