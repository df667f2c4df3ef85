"""The command `tidegate`: what it offers, and how it ends.

Exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted. Data goes to standard output, messages to standard error.
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
from tidegate.commands import batch, demo, doctor, init, publish, serve, status, tail, up

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

_REMEDIES = {
    (errno.ENOSPC, errno.EDQUOT): "make room, or choose another place",
    (errno.EROFS, errno.EACCES, errno.EPERM): "choose a place that this user can use",
    (errno.ENOENT, errno.ENOTDIR, errno.ESTALE): "choose one that is there",
    (errno.EMFILE, errno.ENFILE): "raise the limit of open files (ulimit -n)",
    (errno.ENAMETOOLONG,): "choose a shorter name",
}

_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)

app = typer.Typer(
    name="tidegate",
    epilog="Every option can be set by an environment variable too, which its help names. `--debug` shows where an error comes from.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("serve")(serve.serve)
app.command("init")(init.init)
app.command("demo")(demo.demo)
app.command("batch")(batch.batch)
app.command("publish")(publish.publish)
app.command("tail")(tail.tail)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)


@app.callback()
def tidegate(
    version: Annotated[
        bool, typer.Option("--version", callback=lambda asked: _version() if asked else None, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Event-driven, scale-to-zero inference: on this machine from the manifests of your cluster."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; `--debug` may stand anywhere."""
    debug = "--debug" in arguments or bool(os.environ.get("TIDEGATE_DEBUG"))
    given = [item for item in arguments if item != "--debug"] or ["--help"]
    try:
        # Not by main(), which ends interruptions and closed pipes in its own way.
        command = typer.main.get_command(app)
        with command.make_context("tidegate", given) as context:
            result = command.invoke(context)
        if sys.stdout:
            sys.stdout.flush()  # a disk that is full is noticed here, and not when the interpreter ends
    except typer.Exit as stop:
        return stop.exit_code
    except typer.TyperException as error:
        print(
            f"tidegate: {redact(error.format_message()).rstrip('.')}; `tidegate {_named(given)}--help` lists what there is.",
            file=sys.stderr,
        )
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("tidegate: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _leave_output()
        return DONE
    except TidegateError as error:
        return _fail(str(error), debug)
    except OSError as error:
        return _fail(_of_the_system(error), debug)
    except Exception as error:  # noqa: BLE001 a person sees one sentence, not a traceback
        if (cause := _exhausted(error)) is not None:
            return _fail(_of_the_system(cause), debug)
        return _fail(f"this is a fault of tidegate itself: {error!r}; `--debug` shows where.", debug)
    return result if isinstance(result, int) else DONE


def _version() -> None:
    from importlib.metadata import version

    print(f"tidegate {version('tidegate')}")
    raise typer.Exit


def _named(arguments: Sequence[str]) -> str:
    """The command of these arguments and a space, if they begin with one."""
    known = {command.name for command in app.registered_commands}
    return f"{arguments[0]} " if arguments and arguments[0] in known else ""


def _fail(sentence: str, debug: bool) -> int:
    _leave_output_if_stuck()
    with contextlib.suppress(OSError):  # nobody may read standard error either
        if debug:
            print(redact(traceback.format_exc()), end="", file=sys.stderr)
        print(f"tidegate: {redact(sentence)}", file=sys.stderr, flush=True)
    return FAILED


def _leave_output_if_stuck() -> None:
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        _leave_output()


def _of_the_system(error: OSError) -> str:
    """What a full disk, a read-only file system or a folder that has gone means, in a sentence."""
    what = next((remedy for numbers, remedy in _REMEDIES.items() if error.errno in numbers), "see to it, then try again")
    where = f"{error.filename}: " if error.filename else "" if _stands_somewhere() else "the working directory is gone: "
    return f"{where}{error.strerror or error}; {what}."


def _exhausted(error: BaseException | None) -> OSError | None:
    """What the system refused on the way to another error, if it was for want of room or of open files."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return error
        error = error.__cause__ or error.__context__
    return None


def _stands_somewhere() -> bool:
    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _leave_output() -> None:
    """Nobody reads it, or nothing more fits: what is left to write goes nowhere, or the interpreter would complain at its end."""
    if sys.stdout:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 it is open until the end


def _write_anything() -> None:
    """A character that the terminal's encoding does not have is escaped; it ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    _write_anything()
    status = run(sys.argv[1:])
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:
        os._exit(status)
    sys.exit(status)
