from __future__ import annotations

import pytest

from tidegate.local.objects.resources import KnativeService
from tidegate.local.objects.validation import InvalidObject, Object, Stage, parse, path_of


def broken(**container: object) -> Object:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello"},
        "spec": {"template": {"spec": {"containers": [{"image": "hello", **container}]}}},
    }


def test_an_unknown_field_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(InvalidObject) as caught:
        parse(KnativeService, broken(imagePulPolicy="Never"))
    assert str(caught.value) == "spec.template.spec.containers[0].imagePulPolicy is an unknown field; did you mean imagePullPolicy?"
    assert caught.value.stage is Stage.DECODING


def test_an_unknown_field_like_no_other_is_told_with_all_that_are_known() -> None:
    with pytest.raises(InvalidObject, match=r"known here: .*livenessProbe"):
        parse(KnativeService, broken(zzz=1))


def test_a_number_where_a_text_belongs_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidObject) as caught:
        parse(KnativeService, broken(env=[{"name": "WORKERS", "value": 4}]))
    assert "spec.template.spec.containers[0].env[0].value is 4: it must be a text (put it in quotes)" in str(caught.value)


def test_a_text_where_a_number_belongs_is_refused() -> None:
    with pytest.raises(InvalidObject, match=r"containerPort is '8080': it must be a whole number"):
        parse(KnativeService, broken(ports=[{"containerPort": "8080"}]))


def test_a_null_is_an_absent_field() -> None:
    assert parse(KnativeService, broken(env=None)).spec.template.spec.containers[0].env == []


def test_a_path_reads_as_kubernetes_writes_it() -> None:
    assert path_of(("spec", "containers", 0, "name")) == "spec.containers[0].name"
