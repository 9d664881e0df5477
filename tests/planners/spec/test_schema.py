"""The schema for editors and the manual: both are drawn from the spec, and both are whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from clusterctl.specfile.editor_schema import editor_schema
from clusterctl.specfile.manual import run_spec_manual
from planners.spec.run_spec import STAGE_KINDS, run_spec_schema

REPO = Path(__file__).resolve().parents[3]
SCHEMA = run_spec_schema()


def test_it_is_a_valid_schema_with_an_id() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert (SCHEMA["$schema"], SCHEMA["$id"]) == (
        "https://json-schema.org/draft/2020-12/schema",
        "urn:clusterctl:run-spec:1",
    )
    assert set(SCHEMA["properties"]["stages"]["items"]["discriminator"]["mapping"]) == {*STAGE_KINDS, "rl", "rlvr"}


@pytest.mark.parametrize("name", SCHEMA["$defs"])
def test_every_field_says_what_it_is(name: str) -> None:
    definition = SCHEMA["$defs"][name]
    assert definition.get("description"), name
    for field, schema in definition.get("properties", {}).items():
        target = schema.get("$ref", "").rsplit("/", 1)[-1]
        assert schema.get("description") or SCHEMA["$defs"][target]["description"], f"{name}.{field}"


def test_every_number_has_bounds() -> None:
    def numbers(schema: object, path: str) -> list[tuple[str, dict[str, object]]]:
        if isinstance(schema, list):
            return [found for part in schema for found in numbers(part, path)]
        if not isinstance(schema, dict):
            return []
        here = [(path, schema)] if schema.get("type") in ("integer", "number") and "const" not in schema else []
        named = schema.get("properties", {})
        inner = [found for key, part in named.items() for found in numbers(part, f"{path}.{key}")]
        others = [part for key, part in schema.items() if key not in ("properties", "default", "discriminator")]
        return here + inner + [found for part in others for found in numbers(part, path)]

    for path, schema in numbers(SCHEMA, ""):
        assert {"minimum", "exclusiveMinimum", "enum"} & set(schema), path
        assert {"maximum", "exclusiveMaximum", "enum"} & set(schema), path


@pytest.mark.parametrize(
    "data",
    [
        {"name": "x", "stages": [{"kind": "rlcef", "model": "m", "steps": 0}]},
        {"name": "x", "stages": [{"kind": "rlcef", "model": "m", "steps": 5, "stpes": 5}]},
        {"name": "x", "stages": [{"kind": "nope"}]},
        {"name": "X", "stages": [{"kind": "rlcef", "model": "m", "steps": 5}]},
        {"name": "x", "stages": []},
    ],
)
def test_an_editor_sees_the_same_mistakes(data: object) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors(data))


@pytest.mark.parametrize(
    "lengths", [300, {"mean": 300, "p95": 900}, {"file": "lengths.csv"}, {"file": "l.jsonl", "column": "n"}]
)
def test_an_editor_accepts_each_form_of_a_length(lengths: object) -> None:
    stage = {"kind": "rlcef", "model": "m", "steps": 5, "response_tokens": lengths}
    assert not list(Draft202012Validator(SCHEMA).iter_errors({"name": "x", "stages": [stage]}))


def test_the_manual_page_is_the_one_drawn_from_the_schema() -> None:
    written = (REPO / "docs" / "spec.md").read_text(encoding="utf-8")
    assert written == run_spec_manual(), "run: clusterctl schema --markdown > docs/spec.md"


def test_the_manual_names_every_field() -> None:
    manual = run_spec_manual()
    for definition in (SCHEMA, *SCHEMA["$defs"].values()):
        for field in definition.get("properties", {}):
            assert f"`{field}`" in manual
    assert "| any |" not in manual


def test_an_editor_completes_models_and_gpus_and_accepts_others() -> None:
    schema = editor_schema()
    Draft202012Validator.check_schema(schema)
    fields = {name: schema["$defs"][name]["properties"] for name in ("SftStage", "FleetSpec", "Machines", "Discount")}
    offered = {
        "model": str(fields["SftStage"]["model"]),
        "gpus": str(fields["FleetSpec"]["gpus"]),
        "gpu": str(fields["Machines"]["gpu"]),
        "discount": str(fields["Discount"]["gpu"]),
    }
    assert "'meta-llama/Llama-3.1-8B'" in offered["model"]
    assert all("'A100'" in offered[name] and "'A100-80'" in offered[name] for name in ("gpus", "gpu", "discount"))
    stage = {"kind": "sft", "model": "my/own", "tokens": 10**9}
    own = {"name": "x", "stages": [stage], "fleet": {"gpus": ["nvidia-h100-80gb"]}}
    assert not list(Draft202012Validator(schema).iter_errors(own))
