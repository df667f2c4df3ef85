from __future__ import annotations

import re

from tidegate.local.apiserver.naming import with_name


def test_generated_names_differ_and_are_names() -> None:
    names = {with_name({"metadata": {"generateName": "hello-"}})["metadata"]["name"] for _ in range(50)}
    assert len(names) > 40
    assert all(re.fullmatch(r"hello-[a-z0-9]{5}", name) for name in names)


def test_name_is_kept() -> None:
    for metadata in ({"name": "it", "generateName": "hello-"}, {"name": "it"}, {}, {"generateName": 7}):
        assert with_name({"metadata": metadata}) == {"metadata": metadata}
