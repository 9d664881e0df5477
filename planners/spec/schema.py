"""The JSON Schema of a run spec, for editors, and the field table that the manual prints."""

from collections.abc import Iterator
from typing import Any

from planners.spec.run import RunSpec

SCHEMA_ID = "urn:clusterctl:run-spec:1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def run_spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `RunSpec` as a person writes it, {file: ...} forms included."""
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **RunSpec.model_json_schema(mode="validation")}


def field_rows(definition: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(field, type with unit and limits, default, meaning) of each property of one schema object."""
    required = definition.get("required", [])
    for name, field in definition.get("properties", {}).items():
        yield name, _type(field), _default(name, field, required), field.get("description", "")


def _default(name: str, field: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    default = field.get("default")
    if default is None or default in ([], {}):
        return "-"
    if isinstance(default, dict):
        return str(default["mean"]) if default.get("mean") is not None else "see below"
    return ", ".join(map(str, default)) if isinstance(default, list) else str(default).lower()


def _type(field: dict[str, Any]) -> str:
    """A schema's type in words: `whole number (count) >= 1`, `cost | time`, `list of text`, a link to an object."""
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " | ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(dict.fromkeys(_type(part) for part in field[key] if part.get("type") != "null"))
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        return f"mapping to {_type(values)}" if isinstance(values, dict) else "mapping"
    return _scalar(field)


def _scalar(field: dict[str, Any]) -> str:
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    text = words.get(field.get("type", ""), "any")
    if "unit" in field:
        text += f" ({field['unit']})"
    bounds = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {field[key]:,.10g}" for key, sign in bounds if key in field]
    return " ".join([text, ", ".join(limits)]).strip()
