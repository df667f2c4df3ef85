"""`tidegate batch`: score a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, StateDir


def batch(
    input_: Annotated[Path, typer.Argument(metavar="INPUT", help="The Parquet file to score; columns that are not inputs are kept.")],
    output: Annotated[
        Path, typer.Argument(help="The Parquet file to write: the columns of the input, the outputs, and with --key the revision.")
    ],
    model: Annotated[str, typer.Option(envvar="TIDEGATE_MODEL_NAME", help="The model's name.")],
    key: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_KEY", metavar="COLUMN", help="The column by which rows stick to a revision during a canary."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_URL", help="The router. By default that of the running `tidegate up`.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", envvar="TIDEGATE_OVERWRITE", help="Replace an output that exists.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Score a Parquet file through a model.

    The output appears when it is complete, or not at all.
    """
    import asyncio
    from urllib.parse import urlsplit

    import orjson

    from functions.batch.job import Progress, run
    from functions.batch.request import BatchRequest
    from tidegate import rows
    from tidegate.commands.options import running
    from tidegate.progress import ProgressReporter

    router = url or f"http://router.localhost:{urlsplit(running(state_dir).gateway).port}"
    request = BatchRequest(model=model, input=str(input_), output=str(output), key=key, overwrite=overwrite)
    with ProgressReporter().progress(f"scoring {input_.name}", rows.count(input_), "rows") as progress:

        def show(now: Progress) -> None:
            progress.show(now.rows)

        summary = asyncio.run(run(request, url=router, progress=show))
    result = {
        "model": model,
        "input": str(input_),
        "output": str(output),
        "rows": summary.rows,
        "seconds": round(summary.seconds, 3),
        "revisions": summary.revisions,
    }
    text = f"{summary.rows:,} rows scored into {output} in {summary.seconds:.1f} s"
    print(orjson.dumps(result).decode() if as_json else text)
