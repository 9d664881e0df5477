"""Read and write `plan.json`.  A plan is applied exactly, so a file that is damaged, edited or foreign is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from clusterctl.errors import SpecError, StateError
from clusterctl.specfile.spec_errors import dotted, shown
from clusterctl.specfile.write import write_atomic
from clusterctl.specfile.yaml_file import parse_yaml
from planners.plan.identity import file_id
from planners.plan.value import SCHEMA, Plan

MAX_BYTES = 16 << 20
"""A plan of a hundred stages is under a megabyte."""
MAX_BYTES_WITH_POSITIONS = 1 << 20
"""Larger files are refused without line and column: finding those takes seconds."""
AGAIN = "make it again with `clusterctl plan SPEC --out plan.json`; to change something, change the spec"


def plan_text(plan: Plan) -> str:
    """The plan as the file holds it: JSON, two spaces, a line break at the end."""
    return plan.model_dump_json(indent=2) + "\n"


def write_plan(path: Path, plan: Plan) -> None:
    """Write the whole file or none.  Raises ClusterctlError."""
    write_atomic(path, plan_text(plan))


def looks_like_plan(text: str) -> bool:
    """Whether a text means to be a plan rather than a run spec: a JSON object that names a plan schema."""
    return text.lstrip("\ufeff \t\r\n").startswith("{") and '"schema_name"' in text[:100_000]


def parse_plan(text: str, *, name: str) -> Plan:
    """The plan in a text that messages call `name`.  Raises StateError."""
    data = _json(text, name)
    if not isinstance(data, dict):
        raise StateError(f"{name}: is not a plan: it holds {shown(data)}", hint=AGAIN)
    schema = data.get("schema_name")
    if schema != SCHEMA:
        said = "has no schema_name" if schema is None else f"has schema_name {shown(schema)}"
        raise StateError(f"{name}: {said}; this clusterctl reads {SCHEMA!r}", hint=AGAIN)
    try:
        plan = Plan.model_validate(data)
    except ValidationError as error:
        _refuse(error, text, name)
    except RecursionError as error:
        raise StateError(f"{name}: is nested too deeply for a plan", hint=AGAIN) from error
    if plan.id != file_id(data):
        raise StateError(f"{name}: was edited: its content is not that of plan {shown(plan.id)}", hint=AGAIN)
    return plan


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise StateError(f"{name}:{error.lineno}:{error.colno}: is not JSON: {error.msg}", hint=AGAIN) from error
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise StateError(f"{name}: is not JSON that a plan may hold: {reason}", hint=AGAIN) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} appears twice")
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _refuse(error: ValidationError, text: str, name: str) -> NoReturn:
    """The first of pydantic's findings as a sentence with its place."""
    first = error.errors(include_url=False)[0]
    path = tuple(first["loc"])
    problem = first["msg"][0].lower() + first["msg"][1:]
    value = "" if first["type"] in ("missing", "extra_forbidden") else f", not {shown(first['input'])}"
    raise StateError(f"{_where(text, name, path)}: {dotted(path)}: {problem}{value}", hint=AGAIN) from error


def _where(text: str, name: str, path: tuple[str | int, ...]) -> str:
    """`file:line:column` of a value.  JSON is YAML here, and the YAML reader knows places."""
    if len(text) > MAX_BYTES_WITH_POSITIONS:
        return name
    try:
        document = parse_yaml(text, name=name)
    except SpecError:
        return name
    return document.where(path)
