from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from jsonschema_rs import Draft202012Validator

from functions.runtime.documentation.model_spec import ModelSpec
from functions.runtime.documentation.openapi import document

Describe = Callable[..., ModelSpec]
V2_PATHS = ("/infer", "", "/ready")


def paths_of(*described: ModelSpec, management: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = document(described, management=management)["paths"]
    return found


@pytest.mark.parametrize("management", [True, False])
def test_document_is_valid_openapi_for_any_models(management: bool, describe: Describe) -> None:
    several = [describe(), describe(version="1"), describe(name="loans-1", version=None), describe(name="big", example=None, nulls=True)]
    for described in (several[:1], several):
        schema = schemathesis.openapi.from_dict(document(described, management=management))
        schema.validate()
        identifiers = [operation["operationId"] for item in schema.raw_schema["paths"].values() for operation in item.values()]
        assert len(set(identifiers)) == len(identifiers)


def test_every_path_is_written_out(describe: Describe) -> None:
    paths = paths_of(describe(), describe(version="1"))
    for folder in ("/v2/models/loans", "/v2/models/loans/versions/2", "/v2/models/loans/versions/1"):
        assert [list(paths[folder + path]) for path in V2_PATHS] == [["post"], ["get"], ["get"]]
    for path in ("/models/loans", "/v1/models/loans:predict", "/v1/models/loans:explain"):
        assert list(paths[path]) == ["post"]
    assert list(paths["/"]) == ["post", "get"]
    assert not [path for path in paths if "{" in path]


def test_loading_is_documented_only_if_allowed(describe: Describe) -> None:
    path = "/v2/repository/models/loans/unload"
    assert path in paths_of(describe(), management=True)
    assert path not in paths_of(describe())


def test_root_path_for_events_needs_a_single_model(describe: Describe) -> None:
    assert list(paths_of(describe(), describe(version="1"))["/"]) == ["post", "get"]
    assert list(paths_of(describe(), describe(name="other"))["/"]) == ["get"]


def test_each_version_has_the_schemas_of_its_own_card(describe: Describe) -> None:
    found = document([describe(), describe(version="1", outputs=describe().card.outputs[:1])])
    versions = {}
    for version in ("1", "2"):
        operation = found["paths"][f"/v2/models/loans/versions/{version}/infer"]["post"]
        schema = _at(found, operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"])
        versions[schema["properties"]["model_version"]["const"]] = schema
    default = found["paths"]["/v2/models/loans/infer"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert _at(found, default) is versions["2"]
    assert list(versions) == ["1", "2"]
    assert len(versions["1"]["properties"]["outputs"]["items"]["anyOf"]) < len(versions["2"]["properties"]["outputs"]["items"]["anyOf"])


def test_models_with_similar_names_have_separate_schemas(describe: Describe) -> None:
    found = document([describe(version="2"), describe(name="loans-2", version=None)])
    refs = {
        found["paths"][f"/v2/models/{name}/infer"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for name in ("loans", "loans-2")
    }
    assert len(refs) == 2


def test_each_example_is_valid_by_its_schema(describe: Describe) -> None:
    found = document([describe(), describe(name="made", example=None)])
    checked = 0
    for item in found["paths"].values():
        for media in item.get("post", {}).get("requestBody", {}).get("content", {}).values():
            check = Draft202012Validator({**media["schema"], "components": found["components"]})
            for value in [
                *([media["example"]] if "example" in media else []),
                *(known["value"] for known in media.get("examples", {}).values()),
            ]:
                check.validate(value)
                checked += 1
    assert checked > 15


def test_status_429_documents_retry_after(describe: Describe) -> None:
    found = document([describe()])
    for path, kind in (("/v2/models/loans/infer", "application/json"), ("/models/loans", "application/problem+json")):
        answer = _at(found, found["paths"][path]["post"]["responses"]["429"]["$ref"])
        assert "Retry-After" in answer["headers"]
        assert list(answer["content"]) == [kind]


def _at(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document
