"""A taste of `make fuzz` in every test run, and proof that the fuzzer would notice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from attack import Attack
from fuzz import complaint, fuzz
from mutations import broken
from targets import TARGETS


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_malformed_input_ends_in_one_clear_message(name: str, tmp_path: Path) -> None:
    finds = [find for seed in range(15) if (find := fuzz(name, seed, tmp_path / str(seed))[1])]
    assert finds == []


@pytest.mark.parametrize(
    ("code", "stderr", "expected"),
    [
        (70, "error: this is a bug in clusterctl: KeyError: 'x'\n", "exit 70"),
        (2, "Traceback (most recent call last)\n", "traceback"),
        (2, "", "no error message"),
        (2, "error: a.yaml line 3\n", "half-written output"),
        (0, "RuntimeWarning: overflow\n", "warning"),
        (0, "", None),
    ],
)
def test_the_fuzzer_notices(code: int, stderr: str, expected: str | None, tmp_path: Path) -> None:
    output = tmp_path / "plan.json"
    output.touch()
    assert complaint(Attack(args=[], output=output), code, stderr) == expected


def test_a_seed_repeats_its_input() -> None:
    original = yaml.safe_dump({"name": "x", "stages": [{"kind": "rlcef", "steps": 400}]}).encode()
    made = [broken(original, random.Random(f"spec/{seed}")) for seed in range(200)]
    assert made == [broken(original, random.Random(f"spec/{seed}")) for seed in range(200)]
    assert len(set(made)) > 100
