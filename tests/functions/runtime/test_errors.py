from __future__ import annotations

import inspect
import logging
import re
from pathlib import Path

import pytest

from common.errors import InvalidEvent, RemediedError, TidegateError
from functions.runtime import errors
from functions.runtime.errors import InvalidInput, InvalidModel, Overloaded, RouteNotReady, TimedOut, UnknownModel
from functions.runtime.knative.client import ApiError
from functions.runtime.runtimes.xgboost import XGBoostError

ROOTS = (TidegateError, RemediedError)
ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TidegateError) and kind not in ROOTS]


@pytest.mark.parametrize("kind", ALL)
def test_each_error_has_its_row(kind: type[TidegateError]) -> None:
    assert kind in errors._RESPONSES


@pytest.mark.parametrize("kind", ALL)
def test_a_subclass_has_the_status_and_title_of_its_class(kind: type[TidegateError]) -> None:
    class Narrower(kind):  # type: ignore[misc, valid-type]
        pass

    class Narrowest(Narrower):
        pass

    error = Narrowest("narrow", remedy="x")
    assert (errors.status_of(error), errors.title_of(error)) == (
        errors.status_of(kind("wide", remedy="x")),
        errors.title_of(kind("wide", remedy="x")),
    )


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (InvalidInput("x"), 400, "invalid input"),
        (InvalidEvent("x"), 400, "invalid event"),
        (UnknownModel("x"), 404, "unknown model"),
        (Overloaded("x", remedy="y"), 429, "overloaded"),
        (RouteNotReady("x"), 503, "upstream unreachable"),
        (TimedOut("x"), 504, "timed out"),
        (InvalidModel("x"), 500, "failed"),
        (XGBoostError(Path("model.ubj"), "x"), 500, "failed"),
        (ApiError("x"), 500, "failed"),
    ],
)
def test_the_status_and_title_of_an_error(error: TidegateError, status: int, title: str) -> None:
    assert (errors.status_of(error), errors.title_of(error)) == (status, title)


def test_an_unknown_model_is_422_to_an_event_since_404_is_retried() -> None:
    assert errors.problem_of(UnknownModel("no model", remedy="see /v2/models")).to_json() == {
        "status": 422,
        "title": "unknown model",
        "detail": "no model; see /v2/models.",
    }


def test_a_long_sentence_is_cut_in_the_middle() -> None:
    sentence = errors.sentence_of(InvalidInput("a" * 400 + "b" * 400, remedy="shorten it"))
    assert len(sentence) < 500
    assert sentence.startswith("aaa")
    assert " … b" in sentence
    assert sentence.endswith("; shorten it.")


def test_a_bug_is_logged_with_the_reference_of_its_sentence(caplog: pytest.LogCaptureFixture) -> None:
    sentence = errors.log_bug(ZeroDivisionError("secret"), "POST /x")
    found = re.fullmatch(r"internal error; reference ([0-9a-f]{12})\.", sentence)
    assert found is not None
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == f"bug {found[1]} at POST /x"
    assert record.exc_info is not None
