"""The JSON Schema of a run spec with the names that an editor completes: models and GPUs that we know."""

from __future__ import annotations

import json
from typing import Any

from clusterctl.paths import facts_dir
from planners.spec.run_spec import run_spec_schema


def editor_schema() -> dict[str, Any]:
    """`run_spec_schema()` in which fields for models and GPUs suggest known names; other names stay valid."""
    schema = run_spec_schema()
    gpus, models = _names("gpus"), _names("models")  # read as they are: the catalog needs numpy, which editors don't
    known = {"model": sorted(models), "gpu": sorted(gpus | {name.partition("-")[0] for name in gpus})}
    for definition in schema["$defs"].values():
        for field, content in definition.get("properties", {}).items():
            names = known.get(field.removesuffix("s"))
            if names is not None:
                _suggest(content, names)
    return schema


def _names(table: str) -> set[str]:
    rows = json.loads((facts_dir() / f"{table}.json").read_text("utf-8"))
    aliases = {name for row in rows for name in row.get("aliases", ())} if table == "models" else set()
    return aliases | {row["name"] for row in rows}


def _suggest(schema: dict[str, Any], names: list[str]) -> None:
    """Put `names` before each place for text."""
    if schema.get("type") == "string":
        text = {key: schema.pop(key) for key in ("type", "minLength", "maxLength") if key in schema}
        schema["anyOf"] = [{"enum": names}, text]
        return
    for part in [*schema.get("anyOf", []), *schema.get("oneOf", []), *([schema["items"]] if "items" in schema else [])]:
        _suggest(part, names)
