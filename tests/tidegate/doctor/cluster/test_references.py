from __future__ import annotations

from dataclasses import replace

from tidegate.doctor.accessors import workloads
from tidegate.doctor.cluster import references
from tidegate.doctor.cluster.references import Reference
from tidegate.documents import Document


def test_two_references_to_one_secret_are_one_command() -> None:
    """A variable needs one key and files need two more; a second `create` would fail, since the Secret exists."""
    user = {"name": "TIDEGATE_KAFKA_USERNAME", "valueFrom": {"secretKeyRef": {"name": "kafka", "key": "user"}}}
    read = {"CA": "ca.crt", "PASSWORD": "password"}
    files = [{"name": f"TIDEGATE_KAFKA_{name}_FILE", "value": f"/etc/kafka/{key}"} for name, key in read.items()]
    container = {"image": "stream", "env": [user, *files], "volumeMounts": [{"name": "kafka", "mountPath": "/etc/kafka"}]}
    pod = {"containers": [container], "volumes": [{"name": "kafka", "secret": {"secretName": "kafka"}}]}
    item = {"kind": "Deployment", "metadata": {"name": "stream-flights"}, "spec": {"template": {"spec": pod}}}
    (workload,) = workloads([Document("stream.yaml", item)])
    (found,) = references.merged([*references.of_workload(workload, "mine")])
    assert references.remedy(found, None) == (
        "kubectl -n mine create secret generic kafka --from-file=ca.crt=… --from-file=password=… --from-literal=user=…"
    )
    some = {"data": {"user": "bWU=", "ca.crt": ""}}
    assert references.remedy(found, some) == """kubectl -n mine patch secret kafka --type merge -p '{"stringData": {"password": "…"}}'"""


def test_object_of_two_workloads_is_one_reference() -> None:
    one = Reference(kind="Secret", name="kafka", namespace="mine", user="Deployment a", keys=frozenset(["user"]))
    two = replace(one, user="Deployment b", keys=frozenset(["pw"]))
    both = replace(one, user="Deployment a, Deployment b", keys=frozenset(["user", "pw"]))
    assert references.merged([one, two]) == [both]
