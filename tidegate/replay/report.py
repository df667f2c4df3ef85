"""The HTML report of a replay."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.backtest.report import differences_section
from tidegate.replay import document
from tidegate.replay.run import Replay
from tidegate.replay.tally import Agreement
from tidegate.reporting import page, plots
from tidegate.reporting.page import Markup
from tidegate.reporting.plots import Points


def html(found: Replay) -> str:
    """Return the page."""
    title = f"Replay of {found.request.topic} by {found.candidate.title}"
    return page.page(title, f"{document.scope(found)}. Score: {found.score}.", list(_sections(found)))


def _sections(found: Replay) -> Iterator[Markup]:
    result = found.result
    caption = "What the candidate did with each event, and what the stable revision had done."
    yield page.section("Outcomes", page.table(caption, ["candidate", "stable", "events"], document.outcome_rows(found), numbers=(2,)))
    if result.agreement:
        yield page.section("Agreement", *_agreement(found, result.agreement))
        yield differences_section(result.agreement.differences, "stable", "candidate")
        if result.agreement.worst:
            rows = [document.worst_row(item) for item in result.agreement.worst]
            caption = "The events whose scores differ most."
            yield page.section("Worst cases", page.table(caption, document.WORST_HEAD, rows, numbers=(2, 3, 4)))
    if result.failed:
        rows = [document.failed_row(item) for item in result.failed]
        caption = f"The first {len(rows)} of {sum(result.problems.values()):,} events that the candidate rejects."
        yield page.section("Rejected events", page.table(caption, ["event", "stable", "reason"], rows))
    caption = "The two are not of the same thing: the stable one includes the time that events waited in the topic."
    yield page.section("Latency", page.table(caption, ["latency", ""], document.latency_rows(found)))


def _agreement(found: Replay, agreement: Agreement) -> Iterator[Markup]:
    yield page.table("The scores of both revisions", ["", ""], document.agreement_rows(agreement)[:6], numbers=(1,))
    stable, candidate = agreement.points
    picture = plots.scatter(
        "Scores of the same events",
        Points("", stable, candidate),
        x="stable",
        y=f"candidate, {found.candidate.title}",
        description="Each event as a point: its stable score, and the candidate's. On the diagonal they are equal.",
    )
    yield page.figure(picture, f"{len(stable):,} events; on the dotted diagonal both scores are equal.")
