"""`tidegate backtest`: compare two revisions on data whose outcomes are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, StateDir


def backtest(
    input_: Annotated[str, typer.Argument(metavar="INPUT", help="The dataset to score, with a column of outcomes.")],
    model: Annotated[str, typer.Option(envvar="TIDEGATE_MODEL_NAME", help="The model's name.")],
    revisions: Annotated[
        str,
        typer.Option(
            envvar="TIDEGATE_REVISIONS",
            metavar="FIRST,SECOND",
            help="The revisions to compare, by name, tag or version of the model. Differences are the second minus the first.",
        ),
    ],
    label: Annotated[
        str, typer.Option(envvar="TIDEGATE_LABEL", metavar="COLUMN", help="The column of outcomes: true and false, or 1 and 0.")
    ],
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", envvar="TIDEGATE_SLICE", metavar="COLUMN", help="Compare also by each value of a column. May be repeated."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            envvar="TIDEGATE_CLUSTER",
            metavar="COLUMN",
            help="Rows with the same value are not independent, such as those of one day or customer; intervals become wider.",
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_SCORE", metavar="OUTPUT", help="The output with the probability. By default the first number."),
    ] = None,
    drop_unknown: Annotated[
        bool, typer.Option("--drop-unknown", envvar="TIDEGATE_DROP_UNKNOWN", help="Leave rows out whose outcome is null.")
    ] = False,
    report: Annotated[
        Path, typer.Option(envvar="TIDEGATE_REPORT", metavar="FILE", help="The HTML report to write; replaces an earlier one.")
    ] = Path("backtest.html"),
    url: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_URL", help="The router. By default that of the running `tidegate up`.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Compare two revisions of a model on data whose outcomes are known.

    Both score every row through the router, whatever the traffic is. The differences in log loss, AUC, Brier score and
    calibration come with confidence intervals.
    """
    import asyncio

    import orjson
    from rich.console import Console

    from tidegate.backtest import document, text
    from tidegate.backtest.report import html
    from tidegate.backtest.run import BacktestRequest, run
    from tidegate.commands.options import pair, router
    from tidegate.progress import ProgressReporter
    from tidegate.reporting import page

    first, second = pair(revisions)
    page.check_writable(report)
    request = BacktestRequest(
        model=model,
        first=first,
        second=second,
        input=input_,
        label=label,
        slices=tuple(slices or ()),
        cluster=cluster,
        score=score,
        drop_unknown=drop_unknown,
    )
    with ProgressReporter().progress(f"scoring {Path(input_).name} by both revisions", None, "rows") as progress:

        def show(done: int, total: int) -> None:
            progress.total = total
            progress.show(done)

        found = asyncio.run(run(request, url=router(url, state_dir), progress=show))
    page.write(report, html(found))
    if as_json:
        print(orjson.dumps({**document.document(found), "report": str(report)}, option=orjson.OPT_INDENT_2).decode())
    else:
        text.show(found, report, Console(highlight=False))
