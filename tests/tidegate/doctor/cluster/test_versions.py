from __future__ import annotations

from tidegate.doctor.cluster import versions


def test_versions_are_parsed_as_clusters_write_them() -> None:
    assert versions.parse("v1.34.4+k3s1") == (1, 34)
    assert versions.parse("knative-v1.20.0") == (1, 20)
    assert versions.parse("devel") is None
    assert not versions.kubernetes_problem("unknown", (1, 20))
