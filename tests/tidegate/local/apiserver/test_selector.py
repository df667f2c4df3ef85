from __future__ import annotations

import pytest

from tidegate.local.apiserver.selector import predicate
from tidegate.local.apiserver.status_error import StatusError

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
def test_label_selector_follows_kubernetes(labels: str | None, matches: bool) -> None:
    assert predicate(labels, None)(ITEM) is matches


def test_field_selector_matches_names() -> None:
    assert predicate(None, "metadata.name=hello")(ITEM)
    assert not predicate(None, "metadata.name!=hello")(ITEM)


@pytest.mark.parametrize(("labels", "fields"), [("a b", None), (None, "spec.x=1")])
def test_invalid_selector_is_refused(labels: str | None, fields: str | None) -> None:
    with pytest.raises(StatusError) as caught:
        predicate(labels, fields)
    assert caught.value.code == 400
