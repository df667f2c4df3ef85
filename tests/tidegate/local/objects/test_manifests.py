from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from tidegate.documents import InvalidManifest
from tidegate.local.objects.manifests import load, of_kind
from tidegate.local.objects.resources import ConfigMap, KnativeService

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
    return [parsed.document.object["metadata"]["name"] for parsed in load(str(source))]


def test_kustomization_resources_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "kustomization.yaml", "resources: [b, a/service.yaml]\n")
    write(tmp_path / "b/kustomization.yaml", "resources: [service.yaml]\n")
    write(tmp_path / "b/service.yaml", SERVICE.format(name="b"))
    write(tmp_path / "a/service.yaml", SERVICE.format(name="a"))
    write(tmp_path / "a/not-named.yaml", SERVICE.format(name="c"))
    assert names(tmp_path) == ["b", "a"]


def test_kustomization_with_changes_is_built_by_kustomize(tmp_path: Path) -> None:
    write(tmp_path / "base/kustomization.yaml", "resources: [service.yaml]\n")
    write(tmp_path / "base/service.yaml", SERVICE.format(name="a"))
    write(tmp_path / "overlay/kustomization.yaml", "resources: [../base]\nnamePrefix: my-\nnamespace: models\n")
    (parsed,) = load(str(tmp_path / "overlay"))
    assert parsed.document.object["metadata"] == {"name": "my-a", "namespace": "models"}


def test_kustomize_error_is_passed_on(tmp_path: Path) -> None:
    write(tmp_path / "kustomization.yaml", "resources: []\npatches: [{path: p.yaml}]\n")
    with pytest.raises(InvalidManifest, match=rf"^kustomize cannot build {tmp_path}: trouble .*p\.yaml.*\.$"):
        load(str(tmp_path))


def test_missing_kustomize_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path / "kustomization.yaml", "resources: []\nnamespace: models\n")
    with pytest.raises(InvalidManifest, match=r"neither it nor kubectl is on the PATH; install kubectl"):
        load(str(tmp_path))


def test_cluster_only_kind_is_left_out_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed}\n"
    caplog.set_level("INFO", "tidegate.local")
    assert names(write(tmp_path / "m.yaml", SERVICE.format(name="a") + policy)) == ["a"]
    assert caplog.messages == ["NetworkPolicy closed is left to the cluster: all processes listen on loopback only"]


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "LimitRange"])
def test_kind_for_pods_is_left_out(tmp_path: Path, kind: str) -> None:
    assert names(write(tmp_path / "m.yaml", f"{SERVICE.format(name='a')}---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: b}}\n")) == [
        "a"
    ]


def test_cluster_only_kind_may_have_no_metadata(tmp_path: Path) -> None:
    write(tmp_path / "m.yaml", f"{SERVICE.format(name='a')}---\napiVersion: v1\nkind: Namespace\nmetadata: null\n")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("resources", "message"), [("", "has no manifests"), ("b", "resources must be a list"), ("[sub]", "is among its own resources")]
)
def test_kustomization_without_usable_resources_is_refused(tmp_path: Path, resources: str, message: str) -> None:
    write(tmp_path / "kustomization.yaml", f"resources: {resources}\n")
    write(tmp_path / "sub/kustomization.yaml", "resources: [..]\n")
    with pytest.raises(InvalidManifest, match=message):
        load(str(tmp_path))


def test_folder_without_kustomization_reads_every_yaml_file(tmp_path: Path) -> None:
    write(tmp_path / "x/one.yaml", SERVICE.format(name="one") + "---\n---" + SERVICE.format(name="two"))
    write(tmp_path / "three.yml", SERVICE.format(name="three"))
    assert sorted(names(tmp_path)) == ["one", "three", "two"]


def test_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SERVICE.format(name="piped").encode())))
    assert names("-") == ["piped"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "m.yaml is not YAML"),
        ("a: 1\na: 2\n", "duplicate key 'a'"),
        ("- 1\n", "is list, not a Kubernetes object"),
        ("kind: List\nitems: [a]\n", "item 1 is str, not a Kubernetes object"),
        ("kind: List\nitems:\n", "item 1 is NoneType, not a Kubernetes object"),
        ("[" * 5000, "is nested too deeply for a Kubernetes object"),
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
def test_invalid_manifest_is_one_sentence_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "m.yaml", text)
    with pytest.raises(InvalidManifest) as caught:
        load(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"cannot read the manifest .*nothing\.yaml: No such file"):
        load(str(tmp_path / "nothing.yaml"))


def test_components_of_a_first_cluster_start_nothing(tmp_path: Path) -> None:
    """An overlay with a first Kafka and a policy for batch jobs starts the same processes as without them."""
    components = Path(__file__).parents[4] / "manifests/components"
    files = [*components.glob("kafka-single-node/[ds]*.yaml"), components / "event-policy/policy.yaml"]
    (tmp_path / "all.yaml").write_text("\n---\n".join(path.read_text() for path in files))
    assert len(files) == 4
    assert load(str(tmp_path / "all.yaml")) == []


def test_documents_keep_the_models_that_they_were_parsed_as() -> None:
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"KEY": "value"}},
        *yaml.safe_load_all(SERVICE.format(name="a")),
    ]
    config_map, service = load(objects)
    assert of_kind(ConfigMap, [service, config_map]) == [config_map.model]
    (model,) = of_kind(KnativeService, [service, config_map])
    assert model is service.model
    assert model.metadata.name == service.document.object["metadata"]["name"] == "a"
