from __future__ import annotations

import pytest

from tidegate.local.apiserver.failure import Failure
from tidegate.local.apiserver.selector import predicate

ITEM = {"metadata": {"name": "hello", "namespace": "default", "labels": {"app.kubernetes.io/component": "model-function", "tier": "a"}}}


@pytest.mark.parametrize(
    ("labels", "matches"),
    [
        (None, True),
        ("app.kubernetes.io/component=model-function", True),
        ("tier==a,app.kubernetes.io/component", True),
        ("tier!=a", False),
        ("absent!=a", True),
        ("tier in (a, b)", True),
        ("tier notin (a,b),tier", False),
        ("!tier", False),
        ("!absent", True),
    ],
)
def test_labels_select_as_in_kubernetes(labels: str | None, matches: bool) -> None:
    assert predicate(labels, None)(ITEM) is matches


def test_fields_select_by_name() -> None:
    assert predicate(None, "metadata.name=hello")(ITEM)
    assert not predicate(None, "metadata.name!=hello")(ITEM)


@pytest.mark.parametrize(("labels", "fields"), [("a b", None), (None, "spec.x=1")])
def test_what_cannot_be_read_is_refused(labels: str | None, fields: str | None) -> None:
    with pytest.raises(Failure) as caught:
        predicate(labels, fields)
    assert caught.value.code == 400
