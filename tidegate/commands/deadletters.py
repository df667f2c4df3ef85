"""`tidegate deadletters`: find, show, replay and discard the dead letters of a stream."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, BootstrapServers, StateDir

if TYPE_CHECKING:
    from eventing.kafka.port import Broker
    from tidegate.deadletters.account import Account
    from tidegate.deadletters.filters import Filter
    from tidegate.deadletters.operation import ReplayOptions, Selection, Topic

FAILED, INTERRUPTED = 1, 130

app = typer.Typer(
    name="tidegate deadletters",
    help="Find, show, replay and discard the dead letters of a stream.",
    epilog="A letter that was replayed or discarded is dealt with: only `list --all` shows it. Its record stays in the topic.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)

TopicName = Annotated[str, typer.Argument(metavar="TOPIC", help="The topic of the dead letters, such as flights.deadletter.")]
Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        envvar="TIDEGATE_REASON",
        metavar="STATUS|TEXT",
        help="Letters with this status (400), or with this text in the title or the detail of their problem. May be repeated: any of them.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        envvar="TIDEGATE_SINCE",
        metavar="TIME",
        help="Letters written since then: a time (2026-11-01T08:00:00Z) or a duration before now (15m, 2h, 7d).",
    ),
]
Until = Annotated[str | None, typer.Option(envvar="TIDEGATE_UNTIL", metavar="TIME", help="Letters written before then, as --since.")]
Keys = Annotated[
    list[str] | None, typer.Option("--key", envvar="TIDEGATE_KEY", metavar="KEY", help="Letters with this key. May be repeated.")
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--id", envvar="TIDEGATE_ID", metavar="ID", help="Letters of the event with this id. May be repeated."),
]
At = Annotated[
    list[str] | None,
    typer.Option("--at", envvar="TIDEGATE_AT", metavar="PARTITION:OFFSET", help="The letter at this address. May be repeated."),
]
Limit = Annotated[int | None, typer.Option(envvar="TIDEGATE_LIMIT", min=1, help="At most so many letters, the oldest ones.")]
TakeOver = Annotated[
    list[str] | None,
    typer.Option(
        "--take-over",
        envvar="TIDEGATE_TAKE_OVER",
        metavar="RUN",
        help="Also the letters that this run holds, which was killed. Without it, minutes later. May be repeated.",
    ),
]


@app.command("list")
def list_(
    topic: TopicName,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    key: Keys = None,
    id_: Ids = None,
    at: At = None,
    limit: Annotated[int, typer.Option(envvar="TIDEGATE_LIMIT", min=1, help="The most letters to list, the oldest ones.")] = 20,
    everything: Annotated[bool, typer.Option("--all", envvar="TIDEGATE_ALL", help="Also letters that were replayed or discarded.")] = False,
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Count letters by reason, and list the oldest ones."""
    import orjson
    from rich.console import Console

    from tidegate.commands.options import broker
    from tidegate.deadletters import document, text
    from tidegate.deadletters.ledger import State
    from tidegate.deadletters.operation import now_ms

    states = tuple(State) if everything else (State.OPEN, State.CLAIMED)
    filter_ = _filter(reason, since, until, key, id_, at)
    with _read(broker(bootstrap_servers, state_dir), topic, filter_) as found:
        reasons = found.ledger.reasons_in(states)
        rows = found.rows(found.ledger.first(states, limit))
        shown = document.listed(topic, found.ledger, reasons, rows, now_ms=now_ms())
    if as_json:
        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    else:
        text.show_list(shown, reasons, Console(highlight=False, markup=False), has_states=everything)


@app.command()
def show(
    topic: TopicName,
    letter: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET|ID", help="The letter's address, or the id of its event.")],
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Show a letter: its reason, where it came from, its event, headers and data.

    Of several letters of one event, the newest is shown.
    """
    import orjson
    from rich.console import Console

    from tidegate.commands.options import broker
    from tidegate.deadletters import document, text
    from tidegate.deadletters.errors import NoSuchLetter
    from tidegate.deadletters.ledger import State
    from tidegate.deadletters.letter import Address

    address = Address.parse(letter)
    filter_ = _filter(None, None, None, None, None if address else [letter], [letter] if address else None)
    with _read(broker(bootstrap_servers, state_dir), topic, filter_) as found:
        known = found.ledger.first(tuple(State), sys.maxsize)
        rows = found.rows(known[-1:])
    if not rows:
        raise NoSuchLetter(f"{topic} has no letter {letter}", remedy=f"see `tidegate deadletters list {topic} --all`")
    if len(known) > 1:
        others = ", ".join(str(other) for other, _ in known[:-1][-10:])
        print(f"tidegate: the event has {len(known):,} letters, of which this is the newest; others: {others}", file=sys.stderr)
    shown = document.whole(*rows[0])
    if as_json:
        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    else:
        text.show_letter(shown, Console(highlight=False, markup=False))


@app.command()
def replay(
    topic: TopicName,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    key: Keys = None,
    id_: Ids = None,
    at: At = None,
    limit: Limit = None,
    through: Annotated[
        str | None,
        typer.Option(
            envvar="TIDEGATE_THROUGH",
            metavar="URL",
            help="Straight through the model at this URL, as the stream worker has it (K_SINK), with the replies to the output topic.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(envvar="TIDEGATE_MODEL_NAME", metavar="NAME", help="As --through, with the router of the running `up`.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            envvar="TIDEGATE_OUTPUT",
            metavar="TOPIC",
            help="The topic of the replies, for --through, --model and --wait. By default that of the stream in the running `up`.",
        ),
    ] = None,
    rate: Annotated[float | None, typer.Option(envvar="TIDEGATE_RATE", min=0.001, metavar="N", help="At most N events a second.")] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            envvar="TIDEGATE_WAIT_SECONDS",
            min=0,
            metavar="SECONDS",
            help="Wait so long for the results of the stream worker: outputs, and new dead letters.",
        ),
    ] = None,
    take_over: TakeOver = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="TIDEGATE_DRY_RUN", help="Count what would be replayed, by reason, and change nothing.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> int:
    """Replay letters: the records as they were, to the topics that they came from, or straight through the model.

    Each letter is replayed once, by whatever number of runs at once, and after a kill. One that fails again is a new
    letter. Exit status: 0 replayed, 3 some have failed again, 4 some results were not seen in time, 1 another error.
    """
    from common.environ import is_url
    from common.redaction import redact_url
    from tidegate.commands.options import broker, running
    from tidegate.deadletters.account import Account
    from tidegate.deadletters.operation import ReplayOptions, new_run
    from tidegate.local.broker import EMBEDDED

    if through and model:
        raise typer.BadParameter("--through and --model exclude each other", param_hint="--model")
    if through and not is_url(through):
        raise typer.BadParameter(f"{redact_url(through)!r} is no URL; write http://router/models/NAME", param_hint="--through")
    filter_ = _filter(reason, since, until, key, id_, at)
    url = _url_of(model, state_dir) if model else through
    target = broker(bootstrap_servers, state_dir)
    needs_output = bool(url) or wait is not None
    options = ReplayOptions(
        through=url,
        output=(output or _output_of(topic, state_dir)) if needs_output else None,
        rate=rate,
        wait_seconds=wait,
        is_embedded=not bootstrap_servers and running(state_dir).kafka == EMBEDDED,
    )
    with _read(target, topic, filter_) as found:
        selection = found.select(limit, frozenset(take_over or ()))
        if dry_run:
            _show_selection(found, selection, as_json)
            return 0
        account = Account(
            run=new_run(),
            topic=topic,
            to=redact_url(url) if url else "the topics they came from",
            read=found.ledger.letters,
            selected=sum(map(len, selection.values())),
            succeeded=0 if url else None,
            failed_again=0 if url else None,
        )
        _replay(found, selection, options, account, as_json)
    return INTERRUPTED if account.interrupted else account.status


@app.command()
def discard(
    topic: TopicName,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    key: Keys = None,
    id_: Ids = None,
    at: At = None,
    limit: Limit = None,
    take_over: TakeOver = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="TIDEGATE_YES", help="Do not ask, as in scripts.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="TIDEGATE_DRY_RUN", help="Count what would be discarded, by reason, and change nothing.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> int:
    """Mark letters as dealt with: they are no longer listed, and not replayed. Their records stay until they expire."""
    import orjson

    from tidegate.commands.options import broker
    from tidegate.deadletters.operation import new_run
    from tidegate.progress import ProgressReporter

    if not (yes or dry_run or sys.stdin.isatty()):
        raise typer.BadParameter("there is no terminal to ask at; confirm with --yes", param_hint="--yes")
    filter_ = _filter(reason, since, until, key, id_, at)
    with _read(broker(bootstrap_servers, state_dir), topic, filter_) as found:
        selection = found.select(limit, frozenset(take_over or ()))
        count = sum(map(len, selection.values()))
        if dry_run:
            _show_selection(found, selection, as_json)
            return 0
        if not yes:
            _show_selection(found, selection, as_json=False)
            if not typer.confirm(f"Discard {count:,} letters of {topic}?", err=True):
                print("tidegate: nothing was discarded.", file=sys.stderr)
                return FAILED
        run = new_run()
        with ProgressReporter().progress(f"discarding letters of {topic}", count, "letters") as progress:
            discarded = found.discard(selection, run, progress.advance)
    held = count - discarded
    if as_json:
        print(orjson.dumps({"run": run, "topic": topic, "discarded": discarded, "held": held}).decode())
    else:
        also = f"; {held:,} were claimed or replayed by another run meanwhile" if held else ""
        print(f"{discarded:,} letters of {topic} discarded{also}")
    return 0


def _filter(
    reason: list[str] | None, since: str | None, until: str | None, key: list[str] | None, id_: list[str] | None, at: list[str] | None
) -> Filter:
    from datetime import UTC, datetime

    from tidegate.deadletters.filters import parse

    return parse(reasons=reason or (), since=since, until=until, keys=key or (), ids=id_ or (), addresses=at or (), now=datetime.now(UTC))


@contextmanager
def _read(target: Broker, topic: str, filter_: Filter) -> Iterator[Topic]:
    from eventing.kafka.factory import cluster_of
    from tidegate.deadletters.operation import Topic
    from tidegate.progress import ProgressReporter

    with ProgressReporter().progress(f"reading {topic}", None, "records") as progress:
        found = Topic(cluster_of(target), topic, filter_, broker=target.bootstrap_servers, progress=progress.advance)
    with found:
        yield found


def _replay(found: Topic, selection: Selection, options: ReplayOptions, account: Account, as_json: bool) -> None:
    """Replay, and print the account in any case: also after an error, and after Ctrl-C."""
    import orjson

    from tidegate.deadletters.interruption import stopped_by_interrupt
    from tidegate.progress import ProgressReporter

    try:
        with (
            stopped_by_interrupt() as stop,
            ProgressReporter().progress(f"replaying letters of {found.name}", account.selected, "letters") as progress,
        ):

            def waiting(results: int) -> None:
                progress.show(progress.done, f"{results:,} results")

            found.replay(selection, options, stop, account, progress.advance, waiting)
    finally:
        print(orjson.dumps(account.to_json()).decode() if as_json else "\n".join(account.lines()), flush=True)


def _show_selection(found: Topic, selection: Selection, as_json: bool) -> None:
    import orjson
    from rich.console import Console

    from tidegate.deadletters import document, text

    reasons = found.ledger.reasons_of(selection)
    count = sum(map(len, selection.values()))
    if as_json:
        print(orjson.dumps({"topic": found.name, "selected": count, "reasons": document.reason_list(reasons)}).decode())
        return
    console = Console(highlight=False, markup=False)
    console.print(f"{count:,} letters of {found.name} are selected; nothing was changed", soft_wrap=True)
    console.print()
    text.show_reasons(reasons, console)


def _url_of(model: str, state_dir: Path) -> str:
    """The URL of a model at the router of the running `tidegate up`. Raises TidegateError."""
    from urllib.parse import quote

    from tidegate.commands.options import router
    from tidegate.deadletters.through_model import check_served

    address = router(None, state_dir)
    check_served(address, model)
    return f"{address}/models/{quote(model, safe='')}"


def _output_of(topic: str, state_dir: Path) -> str:
    """The output topic of the stream in the running `tidegate up` whose dead letters these are. Raises TidegateError."""
    from common.errors import TidegateError
    from tidegate.commands.status import streams_with
    from tidegate.local import state

    running = state.read(state_dir)
    found = next((stream["output"] for stream in streams_with(running, deadletter=topic)), "") if running else ""
    if not found:
        raise TidegateError(f"no stream here writes the dead letters {topic}", remedy="name the topic of the model's replies with --output")
    return found
