"""`tidegate send`: send one event by hand, and show what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import TidegateError
from tidegate.commands.options import DEFAULT_STATE_DIR, AsJson, StateDir

if TYPE_CHECKING:
    from eventing.event import Event
    from tidegate.local.state import Running
    from tidegate.sending.course import Course

DEFAULT_SOURCE = "/tidegate/send"


class EventFailed(TidegateError):
    """The event was refused, lost or dead-lettered, or its Job has failed."""


def send(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="The event's type.")],
    data: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_DATA", metavar="JSON|@FILE|-", help="The event's data: JSON, a file, or standard input."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            envvar="TIDEGATE_TO",
            metavar="NAME",
            help="The receiver: a Broker, Service, JobSink, KafkaSink, Sequence or Parallel, by name; KIND:NAME or KIND:NAME:NAMESPACE if"
            " several have the name; NAME/PATH for a path of a Service. By default the only Broker.",
        ),
    ] = None,
    extensions: Annotated[
        list[str] | None,
        typer.Option("--set", envvar="TIDEGATE_SET", metavar="NAME=VALUE", help="Another attribute, such as partitionkey; repeatable."),
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", envvar="TIDEGATE_EVENT_ID", help="The event's id. By default a new UUID.")] = None,
    source: Annotated[str, typer.Option(envvar="TIDEGATE_SOURCE", help="The event's source.")] = DEFAULT_SOURCE,
    subject: Annotated[str | None, typer.Option(envvar="TIDEGATE_SUBJECT", help="The event's subject.")] = None,
    content_type: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_CONTENT_TYPE", help="The media type of the data. By default application/json."),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            envvar="TIDEGATE_WAIT",
            min=0,
            metavar="SECONDS",
            help="How long to follow the event: to the Triggers of a Broker and their replies, or to the end of a JobSink's Job.",
        ),
    ] = 30.0,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    as_json: AsJson = False,
) -> None:
    """Send one CloudEvent to a running `tidegate up`, and show what became of it.

    The exit status is 1 if the event was refused, lost or dead-lettered, or if its Job has failed.
    """
    import asyncio
    import sys

    import orjson

    from tidegate.commands.options import running
    from tidegate.sending import course as courses
    from tidegate.sending.options import event_of

    event = event_of(type_, data=data, id_=id_, source=source, subject=subject, content_type=content_type, extensions=extensions or [])
    course = asyncio.run(_send(running(state_dir), event, to, wait))
    print(orjson.dumps(courses.as_document(course), option=orjson.OPT_INDENT_2).decode() if as_json else courses.as_text(course))
    if failure := course.failure():
        logs = f"; its logs are {state_dir}/log/{course.job.name}-*.log" if course.job else ""
        raise EventFailed(f"{failure.rstrip('.')}{logs}.")
    if wait and (unfinished := course.unfinished()):
        print(f"tidegate: after {wait:g} s, {' and '.join(unfinished)} had not finished; see `tidegate status`.", file=sys.stderr)


async def _send(found: Running, event: Event, to: str | None, wait: float) -> Course:
    from common import http_client
    from tidegate.sending.api import Api
    from tidegate.sending.receivers import choose
    from tidegate.sending.sender import Sender

    async with http_client.session(timeout_seconds=None) as client:
        api = Api(client, found.api, found.token())
        receiver, url = choose(to, await api.receivers())
        return await Sender(api=api, client=client, wait=wait).send(event, receiver, url)
