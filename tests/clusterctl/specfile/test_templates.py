"""The specs that ship: each is read, is what its README row says, and states its sources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from clusterctl.specfile.spec_file import read_spec
from clusterctl.specfile.yaml_file import read_yaml
from planners.spec.run_spec import STAGE_KINDS, RunSpec, run_spec_schema

TEMPLATES = Path(__file__).resolve().parents[3] / "templates"
SPECS = sorted((TEMPLATES / "specs").glob("*.yaml"))
VALIDATOR = Draft202012Validator(run_spec_schema())


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_it_is_read_survives_a_round_trip_and_pleases_an_editor(path: Path) -> None:
    spec = read_spec(path)
    assert spec.description
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec
    assert [error.message for error in VALIDATOR.iter_errors(read_yaml(path).data)] == []


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_it_states_its_sources(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=run-spec.schema.json\n")
    assert re.search(r"arXiv:\d{4}\.\d{5}", text)
    assert "assumption" in text
    assert max(len(line) for line in text.splitlines()) <= 130


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_index_says_what_it_holds(path: Path) -> None:
    row = re.search(
        rf"^\| \[{re.escape(path.stem)}\]\(specs/{re.escape(path.name)}\) \|.*\| (.*) \|$", readme(), re.MULTILINE
    )
    assert row, f"templates/README.md has no row for {path.stem}"
    kinds = list(dict.fromkeys(stage.kind for stage in read_spec(path).stages))
    assert row.group(1) == ", ".join(f"`{kind}`" for kind in kinds)


def test_the_index_names_no_other_and_every_kind_is_shown() -> None:
    assert set(re.findall(r"\(specs/([\w-]+)\.yaml\)", readme())) == {path.stem for path in SPECS}
    assert {stage.kind for path in SPECS for stage in read_spec(path).stages} == set(STAGE_KINDS)


def readme() -> str:
    return (TEMPLATES / "README.md").read_text(encoding="utf-8")
