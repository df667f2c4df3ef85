from __future__ import annotations

import io
from pathlib import Path

import pytest

from tidegate.local.errors import InvalidManifest
from tidegate.local.manifests import load

SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: {name}}}
spec: {{template: {{spec: {{containers: [{{image: hello}}]}}}}}}
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(source: Path | str) -> list[str]:
    return [document.object["metadata"]["name"] for document in load(str(source))]


def test_a_kustomization_is_followed_in_its_order(tmp_path: Path) -> None:
    write(tmp_path / "kustomization.yaml", "namespace: models\nresources: [b, a/service.yaml]\n")
    write(tmp_path / "b/kustomization.yaml", "resources: [service.yaml]\n")
    write(tmp_path / "b/service.yaml", SERVICE.format(name="b"))
    write(tmp_path / "a/service.yaml", SERVICE.format(name="a"))
    write(tmp_path / "a/not-named.yaml", SERVICE.format(name="c"))
    documents = load(str(tmp_path))
    assert [(d.object["metadata"]["name"], d.object["metadata"]["namespace"]) for d in documents] == [("b", "models"), ("a", "models")]


def test_what_only_kustomize_can_do_is_left_to_it(tmp_path: Path) -> None:
    write(tmp_path / "kustomization.yaml", "resources: []\npatches: [{path: p.yaml}]\n")
    with pytest.raises(InvalidManifest, match=r"uses patches, .* run: kubectl kustomize .* \| tidegate up -"):
        load(str(tmp_path))


def test_without_a_kustomization_every_yaml_file_counts(tmp_path: Path) -> None:
    write(tmp_path / "x/one.yaml", SERVICE.format(name="one") + "---\n---" + SERVICE.format(name="two"))
    write(tmp_path / "three.yml", SERVICE.format(name="three"))
    assert sorted(names(tmp_path)) == ["one", "three", "two"]


def test_standard_input_is_read_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SERVICE.format(name="piped")))
    assert names("-") == ["piped"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "m.yaml is not YAML"),
        ("a: 1\na: 2\n", "the key 'a' is there twice"),
        ("- 1\n", "is not a Kubernetes object but list"),
        ("", "has no manifests"),
        (
            SERVICE.format(name="a") + "---" + SERVICE.format(name="b").replace("image", "imag"),
            "m.yaml (document 2): spec.template.spec",
        ),
        (SERVICE.format(name="a") + "---" + SERVICE.format(name="a"), "Service a is also in"),
        ("kind: Service\napiVersion: v1\nmetadata: {name: a}\n", "which tidegate up does not run"),
        ("kind: Service\napiVersion: serving.knative.dev/v1\n", "metadata is missing"),
    ],
)
def test_a_broken_manifest_is_named_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "m.yaml", text)
    with pytest.raises(InvalidManifest) as caught:
        load(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"cannot read the manifest .*nothing\.yaml: No such file"):
        load(str(tmp_path / "nothing.yaml"))
