"""The JSON Schema of the file, for editors that complete and check while one types.

It is written for draft 7, which is what the common language server for YAML reads.
"""

from __future__ import annotations

from typing import Final

from hocket.config.models import FilePart
from hocket.core.values import Json

DRAFT: Final = "http://json-schema.org/draft-07/schema#"


def file_schema() -> dict[str, Json]:
    """Give the JSON Schema of a `hocket.yaml`."""
    made = FilePart.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = made.pop("$defs")
    return {
        "$schema": DRAFT,
        "title": "Hocket",
        **_tidy({key: value for key, value in made.items() if key != "title"}),
        "definitions": _tidy(definitions),
    }


def _tidy(node: Json) -> Json:
    """Drop what pydantic adds and no reader needs, and what draft 7 would read otherwise."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        # Draft 7 ignores whatever stands beside a reference, so it is put one level deeper.
        rest = {key: value for key, value in node.items() if key not in ("$ref", "default")}
        return {"allOf": [{"$ref": node["$ref"]}], **rest} if rest else {"$ref": node["$ref"]}
    named = isinstance(node.get("properties"), dict)
    return {
        key: {name: _tidy(item) for name, item in value.items()}
        if key == "properties" and named
        else _tidy(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }
