"""Measured lengths from files: each format, the same numbers; each mistake, its line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterctl.errors import SpecError
from clusterctl.specfile.measured import read_measured
from clusterctl.specfile.spec_file import read_spec

VALUES = [100.0, 200.0, 300.0, 4000.0]
EXPECTED = {"mean": 1150.0, "p95": pytest.approx(3445.0), "max": 4000.0, "measured": 4}


@pytest.mark.parametrize(
    ("content", "column"),
    [
        ("100\n200\n300\n4000\n", None),
        ("100\n\n200\n300\n4000", None),
        ("tokens\n100\n200\n300\n4000\n", None),
        ("id,tokens\na,100\nb,200\nc,300\nd,4000\n", "tokens"),
        ('id,tokens\n"a,b",100\nb,200\nc,300\nd,4000\n', "tokens"),
        ("[100, 200, 300, 4000]", None),
        ('{"n": 100}\n{"n": 200}\n\n{"n": 300}\n{"n": 4000}\n', "n"),
    ],
)
def test_every_format_gives_the_same(content: str, column: str | None, tmp_path: Path) -> None:
    path = tmp_path / "lengths"
    path.write_text(content)
    assert read_measured(path, column) == EXPECTED


@pytest.mark.parametrize(
    ("content", "column", "expected"),
    [
        ("", None, "holds no values"),
        ("tokens\n", None, "holds no values"),
        ("[]", None, "holds no values"),
        ("100\nmany\n", None, ":2: 'many' is not a number"),
        ("100\n-5\n", None, ":2: '-5' is not a length"),
        ("100\nnan\n", None, ":2: 'nan' is not a length"),
        ("a,b\n1,2\n", None, ":1: several columns; columns: a, b"),
        ("a,b\n1,2\n", "c", ":1: no column 'c'; columns: a, b"),
        ("a,b\n1\n", "b", ":2: '' is not a number"),
        ('{"n": 1}\n{"n": \n', "n", ":2: is not JSON"),
        ('{"n": 1}\n', None, ":1: no key None"),
        ('{"n": 1}\n5\n', "n", ":2: no key 'n'"),
        ("[1, true]", None, "is not a length"),
        ("[1, {}]", None, "is not a number"),
        ("[1, 2", None, "is not a JSON list"),
        ("[" * 100_000, None, "is not a JSON list"),
    ],
)
def test_a_mistake_names_its_line(content: str, column: str | None, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "lengths"
    path.write_text(content)
    with pytest.raises(SpecError) as caught:
        read_measured(path, column)
    assert expected in caught.value.message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_the_figures_are_those_of_numpy(values: list[float], tmp_path: Path) -> None:
    path = tmp_path / "lengths.json"
    path.write_text(json.dumps(values))
    found = read_measured(path)
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["max"] == max(values)
    if "p95" in found:
        assert found["p95"] == pytest.approx(np.percentile(values, 95))


def test_a_spec_takes_its_lengths_from_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text("tokens\n100\n200\n300\n4000\n")
    stage = "{kind: rlcef, model: Qwen3-8B, steps: 5, response_tokens: {file: lengths.csv}}"
    (tmp_path / "run.yaml").write_text(f"name: x\nstages: [{stage}]\n")
    found = read_spec(tmp_path / "run.yaml").stages[0]
    assert found.kind == "rlcef"
    assert found.response_tokens is not None
    assert found.response_tokens.model_dump() == EXPECTED


def test_a_spec_takes_its_model_from_a_config_beside_it(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    }
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    (tmp_path / "run.yaml").write_text("name: x\nstages: [{kind: sft, model: ./mine, tokens: 5}]\n")
    model = read_spec(tmp_path / "run.yaml").stages[0].model
    assert not isinstance(model, str)
    assert model is not None
    assert (model.name, model.layers, model.kv_heads) == ("mine", 32, 8)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "Expecting property name"),
        ("[]", "is not a JSON object"),
        ("{}", "has no 'hidden_size'"),
        (
            '{"hidden_size": -1, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 1, "intermediate_size": 1}',
            "greater",
        ),
        ('{"model_type": "jamba", "state_size": 16}', "state-space"),
        ("[" * 100_000, "config.json"),
    ],
)
def test_a_bad_config_is_a_spec_error(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "run.yaml").write_text("name: x\nstages: [{kind: sft, model: config.json, tokens: 5}]\n")
    with pytest.raises(SpecError) as caught:
        read_spec(tmp_path / "run.yaml")
    assert expected in caught.value.message
    assert "run.yaml:2:29: stages[0].model" in caught.value.message
