from __future__ import annotations

from functions.router.absences import Absences
from functions.runtime.knative.traffic import Arm, RoutedModel


def model(*revisions: str, name: str = "m") -> RoutedModel:
    arms = tuple(Arm(revision=revision, percent=100 // len(revisions), url="") for revision in revisions)
    return RoutedModel(name=name, arms=arms, stable=arms[0], canaries=arms[1:], salt=b"")


def test_an_absence_counts_after_its_time() -> None:
    absences, split = Absences(5.0), model("m-1", "m-2")
    assert [absences.missed(split, "m-2", now, {"m"}) for now in (10.0, 12.0, 14.9, 15.0, 80.0)] == [False, False, False, True, True]


def test_a_reply_ends_an_absence() -> None:
    absences, split = Absences(5.0), model("m-1", "m-2")
    absences.missed(split, "m-2", 0.0, {"m"})
    absences.reached("m", "m-1")
    assert absences.missed(split, "m-2", 5.0, {"m"})
    absences.reached("m", "m-2")
    assert not absences.since
    assert not absences.missed(split, "m-2", 6.0, {"m"})


def test_what_is_gone_is_forgotten() -> None:
    absences = Absences(5.0)
    absences.missed(model("m-1", "m-2"), "m-2", 0.0, {"m", "n"})
    absences.missed(model("n-1", "n-2", name="n"), "n-2", 0.0, {"m", "n"})
    absences.missed(model("m-1", "m-3"), "m-3", 1.0, {"m"})
    assert set(absences.since) == {("m", "m-3")}
