"""The command `tidegate`: its subcommands and its exit status.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Data goes to standard output, messages to standard error.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from common.errors import TidegateError
from common.redaction import redact
from tidegate.commands import (
    backtest,
    batch,
    deadletters,
    demo,
    doctor,
    init,
    publish,
    replay,
    rollout,
    send,
    serve,
    status,
    streams,
    tail,
    up,
)

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_REMEDIES = {
    (errno.ENOSPC, errno.EDQUOT): "make room, or choose another place",
    (errno.EROFS, errno.EACCES, errno.EPERM): "choose a place that this user may use",
    (errno.ENOENT, errno.ENOTDIR, errno.ESTALE): "choose one that exists",
    (errno.EMFILE, errno.ENFILE): "raise the limit of open files (ulimit -n)",
    (errno.ENAMETOOLONG,): "choose a shorter name",
}

_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)

app = typer.Typer(
    name="tidegate",
    epilog="Every option can be set by an environment variable too, which its help names. `--debug` shows the traceback of an error.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("serve")(serve.serve)
app.command("init")(init.init)
app.command("demo")(demo.demo)
app.command("batch")(batch.batch)
app.command("backtest")(backtest.backtest)
app.command("publish")(publish.publish)
app.command("replay")(replay.replay)
app.add_typer(rollout.app, name="rollout")
app.add_typer(deadletters.app, name="deadletters")
app.command("send")(send.send)
app.command("tail")(tail.tail)
app.command("status")(status.status)
app.command("streams")(streams.streams)
app.command("doctor")(doctor.doctor)


@app.callback()
def tidegate(
    version: Annotated[
        bool, typer.Option("--version", callback=lambda asked: _version() if asked else None, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Event-driven, scale-to-zero inference: on this machine from the manifests of your cluster."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; `--debug` is accepted anywhere in it."""
    debug = "--debug" in arguments or bool(os.environ.get("TIDEGATE_DEBUG"))
    given = [item for item in arguments if item != "--debug"] or ["--help"]
    try:
        # Not by main(), which handles interruptions and closed pipes itself.
        program, application, rest = _application(given)
        command = typer.main.get_command(application)
        with command.make_context(program, rest) as context:
            result = command.invoke(context)
        if sys.stdout:
            sys.stdout.flush()  # so that a full disk is noticed here, rather than when the interpreter exits
    except typer.Exit as stop:
        return stop.exit_code
    except typer.TyperException as error:
        print(
            f"tidegate: {redact(error.format_message()).rstrip('.')}; `tidegate {_command_of(given)}--help` lists the options.",
            file=sys.stderr,
        )
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("tidegate: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return DONE
    except TidegateError as error:
        return _fail(str(error), debug)
    except OSError as error:
        return _fail(_of_the_system(error), debug)
    except Exception as error:  # noqa: BLE001 a user sees one sentence, not a traceback
        if (cause := _exhausted(error)) is not None:
            return _fail(_of_the_system(cause), debug)
        return _fail(f"internal error: {error!r}; `--debug` shows its traceback.", debug)
    return result if isinstance(result, int) else DONE


def _version() -> None:
    from importlib.metadata import version

    print(f"tidegate {version('tidegate')}")
    raise typer.Exit


def _command_of(arguments: Sequence[str]) -> str:
    """The command that the arguments begin with, and a space; an empty string if they begin with none."""
    known = {command.name for command in app.registered_commands}
    group = {"rollout": rollout.app, "deadletters": deadletters.app}.get(arguments[0]) if arguments else None
    if group and len(arguments) > 1 and not arguments[1].startswith("-"):
        known_here = {command.name or getattr(command.callback, "__name__", "") for command in group.registered_commands}
        return f"{arguments[0]} {arguments[1]} " if arguments[1] in known_here else f"{arguments[0]} "
    if _is_of_batch(arguments):
        return f"{arguments[0]} {arguments[1]} "
    return f"{arguments[0]} " if arguments and arguments[0] in known else ""


def _application(arguments: list[str]) -> tuple[str, typer.Typer, list[str]]:
    """The name of the program, the application and its arguments: commands of `tidegate batch` have one of their own."""
    return ("tidegate batch", batch.app, arguments[1:]) if _is_of_batch(arguments) else ("tidegate", app, arguments)


def _is_of_batch(arguments: Sequence[str]) -> bool:
    return len(arguments) > 1 and arguments[0] == "batch" and arguments[1] in batch.SUBCOMMANDS


def _fail(sentence: str, debug: bool) -> int:
    _discard_output_if_stuck()
    with contextlib.suppress(OSError):  # standard error may be closed too
        if debug:
            print(redact(traceback.format_exc()), end="", file=sys.stderr)
        print(f"tidegate: {redact(sentence)}", file=sys.stderr, flush=True)
    return FAILED


def _discard_output_if_stuck() -> None:
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        _discard_output()


def _of_the_system(error: OSError) -> str:
    """The sentence for an error of the operating system, such as a full disk, with its remedy."""
    remedy = next((remedy for numbers, remedy in _REMEDIES.items() if error.errno in numbers), "fix the cause, then try again")
    place = f"{error.filename}: " if error.filename else "" if _has_working_directory() else "the working directory is gone: "
    return f"{place}{error.strerror or error}; {remedy}."


def _exhausted(error: BaseException | None) -> OSError | None:
    """The error of a resource that ran out, such as space or open files, in the chain of causes; None if none did."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return error
        error = error.__cause__ or error.__context__
    return None


def _has_working_directory() -> bool:
    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _discard_output() -> None:
    """Discard the rest of standard output, which is closed or full: the interpreter would report it at its exit."""
    if sys.stdout:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 it stays open until the exit


def _escape_unencodable() -> None:
    """Escape characters that the terminal's encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    _escape_unencodable()
    status = run(sys.argv[1:])
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:
        os._exit(status)
    sys.exit(status)
