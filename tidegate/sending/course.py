"""What became of an event: the receiver's answer, the Job that it started, and its deliveries by Triggers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from eventing.event import Event
from tidegate.local.eventing.delivery.deliveries import FILTERED, IN_DELIVERY, DeliveryStatus, ReplyStatus
from tidegate.local.eventing.delivery.transport import Answer
from tidegate.sending.receivers import Receiver

NOT_READY, NOT_SEEN = "not ready", "waiting"
_DELIVERED, _DEAD_LETTERED, _LOST = "delivered", "dead-lettered", "lost"
RUNNING, COMPLETE, FAILED = "Running", "Complete", "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One Trigger and one event: what was sent, or a reply to it. `outcome` includes those without a delivery."""

    event: ReplyStatus
    trigger: str
    outcome: str
    reason: str = ""
    delivery: DeliveryStatus | None = None
    job: str | None = None
    """The Job that the delivery to a JobSink has started."""

    @property
    def is_final(self) -> bool:
        return self.outcome not in (IN_DELIVERY, NOT_SEEN)

    @property
    def failed(self) -> bool:
        return self.outcome in (_DEAD_LETTERED, _LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCourse:
    """The Job of a JobSink. `location` is the URL that answers with its state."""

    name: str
    location: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The whole. `seconds` is the time until the receiver's answer; `reply` is the event in it, if it has one."""

    event: Event
    receiver: Receiver
    url: str
    answer: Answer
    seconds: float
    reply: Event | None = None
    job: JobCourse | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return 200 <= self.answer.status < 300

    @property
    def body(self) -> str:
        """The answer's body as text, unless it is an event."""
        return "" if self.reply else self.answer.body.decode("utf-8", "replace").strip()

    def failure(self) -> str | None:
        """Return the reason why the event was not processed, as a sentence without its end; None if there is none."""
        if not self.accepted:
            return f"the {self.receiver} answered {self.answer.status}"
        if self.job and self.job.outcome == FAILED:
            return f"the Job {self.job.name} has failed"
        for step in self.steps:
            if step.failed:
                cause = step.delivery["cause"] if step.delivery else step.reason
                return f"the Trigger {step.trigger} has {'lost' if step.outcome == _LOST else 'dead-lettered'} the event: {cause}"
        return None

    def unfinished(self) -> list[str]:
        """Return the names of what has not ended within the wait."""
        triggers = [f"the Trigger {step.trigger}" for step in self.steps if not step.is_final]
        return [*triggers, *([f"the Job {self.job.name}"] if self.job and self.job.outcome == RUNNING else [])]


def identity_of(event: Event) -> ReplyStatus:
    """Return the identity and the type of an event."""
    return {"source": event.source, "id": event.id, "type": event.type}


def replies_in(steps: Iterable[Step]) -> list[ReplyStatus]:
    """Return the replies, which the Broker delivers too."""
    return [step.delivery["reply"] for step in steps if step.delivery and step.delivery["reply"]]


def as_text(course: Course) -> str:
    """Return the course in lines."""
    ending = "accepted" if course.accepted else "refused"
    lines = [
        f"{course.event.type} {course.event.id}",
        f"{ending} by the {course.receiver}: {_answer(course.answer.status, course.seconds)}",
    ]
    if course.reply:
        lines += [f"replied {course.reply.type} {course.reply.id}", (course.reply.payload() or b"").decode("utf-8", "replace")]
    elif course.body:
        lines.append(course.body)
    if course.job:
        after = f" after {_duration(course.job.seconds)}" if course.job.outcome != RUNNING else ""
        lines.append(f"Job {course.job.name}: {course.job.outcome.lower()}{after}  {course.job.location}")
    return "\n".join([*lines, *(_step(step, course) for step in course.steps)])


def _step(step: Step, course: Course) -> str:
    line = f"Trigger {step.trigger}: {_outcome(step)}"
    return line if step.event == identity_of(course.event) else f"  {step.event['type']} {line}"


def _outcome(step: Step) -> str:
    found = step.delivery
    if found is None or step.outcome == FILTERED:
        return f"{step.outcome}{f' ({step.reason})' if step.reason else ''}"
    status = "" if found["status"] is None else f", {found['status']}"
    after = "" if found["seconds"] is None else f" after {_duration(found['seconds'])}"
    attempts = f" in {found['attempts']} attempts" if found["attempts"] > 1 else ""
    parts = [f"{step.outcome} to {found['subscriber']}{status}{after}{attempts}" if step.outcome == _DELIVERED else ""]
    if step.outcome != _DELIVERED:
        parts = [f"{step.outcome}{after}{attempts}: {found['cause']}" if found["cause"] else f"{step.outcome} to {found['subscriber']}"]
    parts += [f"replied {found['reply']['type']}"] if found["reply"] else []
    return ", ".join([*parts, *([f"started the Job {step.job}"] if step.job else [])])


def _answer(status: int, seconds: float) -> str:
    return f"{status} after {_duration(seconds)}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def as_document(course: Course) -> dict[str, object]:
    """Return the course as JSON values."""
    return {
        "event": {**course.event.attributes},
        "receiver": {"kind": course.receiver.kind, "namespace": course.receiver.namespace, "name": course.receiver.name, "url": course.url},
        "accepted": course.accepted,
        "status": course.answer.status,
        "seconds": round(course.seconds, 6),
        "reply": {**course.reply.attributes, "data": _data(course.reply)} if course.reply else None,
        "body": course.body,
        "job": {"name": course.job.name, "location": course.job.location, "outcome": course.job.outcome} if course.job else None,
        "deliveries": [_as_document(step) for step in course.steps],
        "failure": course.failure(),
        "unfinished": course.unfinished(),
    }


def _as_document(step: Step) -> dict[str, object]:
    found = step.delivery
    return {
        "event": step.event,
        "trigger": step.trigger,
        "outcome": step.outcome,
        "reason": step.reason or (found["cause"] if found else ""),
        "subscriber": found["subscriber"] if found else None,
        "status": found["status"] if found else None,
        "attempts": found["attempts"] if found else 0,
        "seconds": found["seconds"] if found else None,
        "reply": found["reply"] if found else None,
        "job": step.job,
    }


def _data(event: Event) -> object:
    payload = event.payload()
    return event.value() if event.is_json else (payload or b"").decode("utf-8", "replace")
