"""Merging the OpenAPI documents of the models' operations and of the added routes."""

from __future__ import annotations

from typing import Any

from functions.runtime.documentation.building_blocks import Json
from functions.runtime.http.authentication import is_open


def merged(own: Json, models: Json) -> Json:
    """Merge the models' document into that of the added routes, which keep the names of components that both have."""
    names = own.get("components", {}).get("schemas", {})
    models = _renamed(models, {name: f"Model{name}" for name in models["components"]["schemas"] if name in names})
    components = own.get("components", {})
    return {
        **own,
        "tags": [*own.get("tags", []), *models["tags"]],
        "paths": {**models["paths"], **{path: {**models["paths"].get(path, {}), **item} for path, item in own["paths"].items()}},
        "components": {
            kind: {**models["components"].get(kind, {}), **components.get(kind, {})} for kind in {**models["components"], **components}
        },
    }


def secured(models: Json, security: Json) -> Json:
    """Add the dependencies' security requirements to the models' operations, except those that need no credential."""
    if not security["requirements"]:
        return models
    paths = {
        path: {
            method: operation
            if is_open(path, method.upper()) or path.startswith("/schemas")
            else {**operation, "security": security["requirements"]}
            for method, operation in item.items()
        }
        for path, item in models["paths"].items()
    }
    return {**models, "paths": paths, "components": {**models["components"], "securitySchemes": security["schemes"]}}


def _renamed(document: Any, names: dict[str, str]) -> Any:
    """Rename schemas in a document, and the references to them."""
    if not names:
        return document
    references = {f"#/components/schemas/{old}": f"#/components/schemas/{new}" for old, new in names.items()}

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: references.get(item, item) if key == "$ref" else replaced(item) for key, item in value.items()}
        return [replaced(item) for item in value] if isinstance(value, list) else value

    found = replaced(document)
    schemas = found["components"]["schemas"]
    found["components"]["schemas"] = {names.get(name, name): schema for name, schema in schemas.items()}
    return found
