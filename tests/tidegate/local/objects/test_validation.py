from __future__ import annotations

import pytest

from tidegate.local.objects.eventing import KafkaSink
from tidegate.local.objects.resources import KnativeService
from tidegate.local.objects.validation import InvalidObject, Object, Stage, parse, path_of


def broken(**container: object) -> Object:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello"},
        "spec": {"template": {"spec": {"containers": [{"image": "hello", **container}]}}},
    }


def test_unknown_field_suggests_the_nearest_known_one() -> None:
    with pytest.raises(InvalidObject) as caught:
        parse(KnativeService, broken(imagePulPolicy="Never"))
    assert str(caught.value) == "spec.template.spec.containers[0].imagePulPolicy is an unknown field; did you mean imagePullPolicy?"
    assert caught.value.stage is Stage.DECODING


def test_unknown_field_without_similar_name_lists_known_fields() -> None:
    with pytest.raises(InvalidObject, match=r"known fields: .*livenessProbe"):
        parse(KnativeService, broken(zzz=1))


def test_number_for_a_string_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidObject) as caught:
        parse(KnativeService, broken(env=[{"name": "WORKERS", "value": 4}]))
    assert "spec.template.spec.containers[0].env[0].value is 4: it must be a string (put it in quotes)" in str(caught.value)


def test_string_for_an_integer_is_refused() -> None:
    with pytest.raises(InvalidObject, match=r"containerPort is '8080': it must be an integer"):
        parse(KnativeService, broken(ports=[{"containerPort": "8080"}]))


def test_empty_list_and_empty_text_have_a_remedy() -> None:
    item = broken()
    item["spec"]["template"]["spec"]["containers"] = []
    with pytest.raises(InvalidObject, match=r"spec\.template\.spec\.containers is empty; add at least one item\."):
        parse(KnativeService, item)
    with pytest.raises(InvalidObject, match=r"spec\.topic is empty; write a value\."):
        parse(KafkaSink, {"apiVersion": "v", "kind": "KafkaSink", "metadata": {}, "spec": {"topic": "", "bootstrapServers": ["k"]}})


def test_null_is_an_absent_field() -> None:
    assert parse(KnativeService, broken(env=None)).spec.template.spec.containers[0].env == []


def test_path_is_in_kubernetes_notation() -> None:
    assert path_of(("spec", "containers", 0, "name")) == "spec.containers[0].name"
