"""The manual of the run spec, docs/spec.md, drawn from its JSON Schema so that it cannot rot."""

from collections.abc import Callable, Iterator
from typing import Any

from planners.spec.benchmarks import BENCHMARKS
from planners.spec.lengths import Durations, Lengths
from planners.spec.profiles import PROFILES
from planners.spec.run import run_spec_schema

_INTRO = """# The run spec

A run spec is a YAML file (UTF-8, YAML 1.2: `no` is text, `1e9` and `10_000` are numbers). `clusterctl init KIND`
writes a commented one, `clusterctl schema --out run-spec.schema.json` the JSON Schema with which an editor completes
and checks it. Ten lines are enough; whatever is left out has a default that the plan names as an assumption.

```yaml
name: rlcef-32b
stages:
  - kind: rlcef
    model: Qwen/Qwen2.5-Coder-32B-Instruct
    steps: 400
    response_tokens: {mean: 3000, p95: 9000}
    sandbox: {cpus: 1, memory_gib: 2, seconds: {mean: 4, p95: 20}}
fleet: {targets: [aws, gcp, azure], gpus: [H100, H200]}
limits: {usd: 60000, hours: 72}
```

* **Lengths and seconds** take a number (the mean), `{mean, p95, max}`, or `{file: lengths.csv}`: a file of measured
  values, one number per line, CSV, a JSON list or JSON lines (`column:` names the column or key). Paths are relative
  to the spec.
* **Models** go by name (any case, with or without organisation and `-Instruct`), by shape
  (`{name, layers, hidden, heads, ffn, vocab}`), or by the path of a Hugging Face `config.json` or its folder.
* **GPUs** go by name, by the name that their driver gives them, or by a cloud's accelerator name.
* **Unknown is not zero**: a price, length or accuracy that is left out stays unknown, is assumed with a source, and
  widens the band.
* `--what-if key=value` changes one value: `stages.rlcef.steps=500`, or just `steps=500` where that is unambiguous.

This page is drawn from the schema: `clusterctl schema --markdown`.
"""

_ORDER = (
    "RunSpec",
    "RlcefStage",
    "SynthesizeStage",
    "SftStage",
    "PretrainStage",
    "RewardModelStage",
    "RolloutStage",
    "EvaluateStage",
    "FleetSpec",
    "Limits",
    "OwnPrices",
    "OutcomeValue",
    "SandboxSpec",
    "RolloutOptions",
    "TrainOptions",
)
_WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
_BOUNDS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


def run_spec_manual() -> str:
    """docs/spec.md: every field with type, unit, limits, default and meaning; the profiles; the benchmarks."""
    schema = run_spec_schema()
    definitions = {"RunSpec": schema, **schema["$defs"]}
    names = [*_ORDER, *sorted(name for name in definitions if name not in _ORDER)]
    parts = [_INTRO, *(_section(name, definitions) for name in names if "properties" in definitions[name])]
    return "\n".join([*parts, _profiles(), _benchmarks()])


def _section(name: str, definitions: dict[str, Any]) -> str:
    definition = definitions[name]
    lines = [f"## {name}", "", definition.get("description", ""), "", "| field | type | default | meaning |"]
    lines.append("| --- | --- | --- | --- |")
    lines += [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in _rows(definition, definitions)]
    return "\n".join([*lines, ""])


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


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _profiles() -> str:
    lines = ["## Sandbox profiles", "", "Uncalibrated defaults; measure your own. `seconds` is one judging run.", ""]
    lines += ["| profile | field | default | source |", "| --- | --- | --- | --- |"]
    for profile, fields in PROFILES.items():
        lines += [
            f"| `{profile}` | `{name}` | {_shown(value)} | {source} |" for name, (value, source) in fields.items()
        ]
    return "\n".join([*lines, ""])


def _benchmarks() -> str:
    lines = ["## Benchmarks", "", "| benchmark | problems | turns | tokens in | tokens out | judging | source |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for name, found in BENCHMARKS.items():
        names = ("tasks", "turns", "prompt_tokens", "response_tokens")
        cells = (*(found.fields.get(name) for name in names), found.judge_seconds)
        lines.append(f"| `{name}` | {' | '.join(_shown(cell) for cell in cells)} | {found.source} |")
    return "\n".join([*lines, ""])


def _shown(value: object) -> str:
    if isinstance(value, Lengths | Durations):
        tail = "" if value.p95 is None else f" (p95 {value.p95:g})"
        return f"{value.mean:g}{tail}{' s' if isinstance(value, Durations) else ''}"
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
