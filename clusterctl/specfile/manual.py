"""The manual of the run spec, docs/spec.md: manual.md, then every field, drawn from the JSON Schema."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from planners.spec.benchmarks import BENCHMARKS
from planners.spec.profiles import PROFILES, shown
from planners.spec.run_spec import run_spec_schema

_WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
_BOUNDS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


def run_spec_manual() -> str:
    """docs/spec.md: every field with type, unit, limits, default and meaning; the profiles; the benchmarks."""
    schema = run_spec_schema()
    definitions = {"RunSpec": schema, **schema["$defs"]}
    named = re.findall(r'ref": "#/\$defs/(\w+)', json.dumps(schema["properties"]))
    parts = [Path(__file__).with_suffix(".md").read_text("utf-8")]
    for name in dict.fromkeys(["RunSpec", *named, *definitions]):
        definition = definitions[name]
        if "properties" in definition:
            rows = _rows(definition, definitions)
            parts.append(_table(name, definition.get("description", ""), "field | type | default | meaning", rows))
    return "\n".join([*parts, _profiles(), _benchmarks()])


def _table(title: str, intro: str, header: str, rows: Iterable[Sequence[str]]) -> str:
    cells = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    lines = [f"| {line} |" for line in (header, " | ".join("---" for _ in header.split("|")), *cells)]
    return "\n".join([f"## {title}", "", *([intro, ""] if intro else []), *lines, ""])


def _rows(definition: dict[str, Any], definitions: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    required = definition.get("required", [])
    for name, field in definition["properties"].items():
        meaning = field.get("description") or definitions.get(_target(field), {}).get("description", "")
        yield f"`{name}`", _type(field), "required" if name in required else _default(field), meaning


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if isinstance(default, dict):
        default = default.get("mean")
    if isinstance(default, list):
        default = ", ".join(map(str, default))
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default) if default not in (None, "") else "-"


def _type(field: dict[str, Any]) -> str:
    """A schema's type in words: `whole number, ≥ 1`, a list of words, a link to a section."""
    for key, speak in _FORMS.items():
        if key in field:
            return speak(field)
    return _scalar(field)


def _alternatives(field: dict[str, Any]) -> str:
    parts = field.get("anyOf") or field["oneOf"]
    return " or ".join(dict.fromkeys(_type(part) for part in parts if part.get("type") != "null"))


_FORMS: dict[str, Callable[[dict[str, Any]], str]] = {
    "const": lambda field: f"`{field['const']}`",
    "enum": lambda field: " | ".join(f"`{value}`" for value in field["enum"]),
    "$ref": lambda field: f"[{_target(field)}](#{_target(field).lower()})",
    "anyOf": _alternatives,
    "oneOf": _alternatives,
    "items": lambda field: f"list: {_type(field['items'])}",
    "patternProperties": lambda field: f"mapping to {_type(next(iter(field['patternProperties'].values())))}",
    "additionalProperties": lambda field: f"mapping to {_type(field['additionalProperties'])}",
}


def _target(field: dict[str, Any]) -> str:
    return str(field.get("$ref", "")).rsplit("/", 1)[-1]


def _scalar(field: dict[str, Any]) -> str:
    words = _WORDS.get(field.get("type", ""), "any")
    unit = field.get("unit", "count")
    limits = [f"{sign} {field[key]:,.10g}" for key, sign in _BOUNDS if key in field]
    return ", ".join([words if unit == "count" else f"{words} ({unit})", *limits])


def _profiles() -> str:
    rows = [
        (f"`{profile}`", f"`{name}`", shown(value), source)
        for profile, fields in PROFILES.items()
        for name, (value, source) in fields.items()
    ]
    intro = "Uncalibrated defaults; measure your own. `seconds` is one judging run."
    return _table("Sandbox profiles", intro, "profile | field | default | source", rows)


def _benchmarks() -> str:
    header = "benchmark | problems | turns | tokens in | tokens out | judging | source"
    names = ("tasks", "turns", "prompt_tokens", "response_tokens")
    rows = [
        (f"`{name}`", *(shown(found.fields.get(field)) for field in names), shown(found.judge_seconds), found.source)
        for name, found in BENCHMARKS.items()
    ]
    return _table("Benchmarks", "", header, rows)
