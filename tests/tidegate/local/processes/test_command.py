from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.documents import InvalidManifest
from tidegate.local.objects.podspec import Container
from tidegate.local.objects.resources import Metadata
from tidegate.local.objects.validation import parse
from tidegate.local.processes import start
from tidegate.local.processes.command import Pod, argv, environment, expand, module_of

POD = Pod(
    name="hello-00001-1",
    metadata=parse(Metadata, {"namespace": "models", "labels": {"a": "b"}}),
    config_maps={"settings": {"KEY": "value"}},
)


def container(**fields: Any) -> Container:
    return parse(Container, {"image": "hello", **fields})


def env(*variables: dict[str, Any], **fields: Any) -> dict[str, str]:
    return environment(container(env=list(variables), **fields), POD)


def ref(**source: Any) -> dict[str, Any]:
    return {"name": "X", "valueFrom": source}


def test_python_is_the_running_interpreter() -> None:
    assert argv(container(command=["python"], args=["-m", "x"]), {}) == [sys.executable, "-m", "x"]


@pytest.mark.parametrize(
    ("image", "module"),
    [
        ("flights", "functions.flights"),
        ("registry:5000/team/flights:1.2", "functions.flights"),
        ("dev.local/flights@sha256:0123", "functions.flights"),
        ("stream", "functions.stream"),
    ],
)
def test_image_without_a_command_names_the_function(image: str, module: str) -> None:
    assert argv(container(image=image, args=["--x"]), {}) == [sys.executable, "-P", start.__file__, module_of(image), "--x"]
    assert module_of(image) == module


def test_variables_expand_earlier_ones() -> None:
    values = env({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(LATER)$$(A)"}, {"name": "LATER", "value": ""})
    assert values == {"A": "1", "B": "1$(LATER)$(A)", "LATER": ""}


def test_field_references_are_resolved() -> None:
    assert env(ref(fieldRef={"fieldPath": "metadata.name"}))["X"] == "hello-00001-1"
    assert env(ref(fieldRef={"fieldPath": "metadata.namespace"}))["X"] == "models"
    assert env(ref(fieldRef={"fieldPath": "metadata.labels['a']"}))["X"] == "b"


def test_config_maps_are_read() -> None:
    assert env(ref(configMapKeyRef={"name": "settings", "key": "KEY"}))["X"] == "value"
    assert env(envFrom=[{"prefix": "P_", "configMapRef": {"name": "settings"}}]) == {"P_KEY": "value"}
    assert env(ref(configMapKeyRef={"name": "none", "key": "KEY", "optional": True})) == {}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "refers to a Secret or a resource"),
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, "needs the ConfigMap none"),
        ({"configMapKeyRef": {"name": "settings", "key": "k"}}, "needs the key k in the ConfigMap settings"),
        ({"fieldRef": {"fieldPath": "spec.magic"}}, "refers to the unknown field spec.magic; known fields: metadata.name"),
    ],
)
def test_unavailable_source_of_a_variable_is_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        env(ref(**source))
    assert message in str(caught.value)
    assert "the variable X" in str(caught.value)


def test_known_variable_needs_no_secret() -> None:
    wanted = container(env=[ref(secretKeyRef={"name": "s", "key": "k"}), {"name": "Y", "value": "$(X)"}])
    assert environment(wanted, POD, {"X": "$(Y)"}) == {"X": "$(Y)", "Y": "$(Y)"}


@given(st.text())
def test_string_without_a_dollar_is_unchanged(text: str) -> None:
    if "$" not in text:
        assert expand(text, {"A": "1"}) == text
