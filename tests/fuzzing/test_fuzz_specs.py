"""Malformed run specs, in process: each is read or refused with a message that says where; none hangs.

A few hundred in every test run; CLUSTERCTL_FUZZ_INPUTS=10000 runs more.  (`make fuzz` also plans what is read.)
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from mutations import VALUES, broken

from clusterctl.errors import SpecError
from clusterctl.specfile.spec_file import read_spec
from planners.spec.run_spec import RunSpec

REPO = Path(__file__).resolve().parents[2]
TEMPLATES = [path.read_bytes() for path in sorted((REPO / "templates" / "specs").glob("*.yaml"))]
INPUTS = int(os.environ.get("CLUSTERCTL_FUZZ_INPUTS", "300"))
SECONDS_EACH = 60
KEYS = (
    "steps",
    "gpus",
    "model",
    "stages",
    "stages.0",
    "fleet",
    "usd",
    "p95",
    "sandbox.cpus",
    "judges[0].share",
    "x",
    "name",
)


def said_of(path: Path, overrides: list[str]) -> str | None:
    """The refusal of a spec, None if it was read.  Whatever is read must survive a round trip."""
    try:
        spec = read_spec(path, overrides)
    except SpecError as error:
        return error.message
    assert RunSpec.model_validate(spec.model_dump(mode="json")) == spec
    return None


def hung(*_: object) -> None:
    raise TimeoutError(f"still busy after {SECONDS_EACH} s")


def test_a_malformed_spec_is_refused_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    previous = signal.signal(signal.SIGALRM, hung)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    try:
        for seed in range(INPUTS):
            rng = random.Random(f"spec/{seed}")
            Path("run.yaml").write_bytes(broken(rng.choice(TEMPLATES), rng))
            signal.setitimer(signal.ITIMER_REAL, SECONDS_EACH)
            started = time.perf_counter()
            said = said_of(Path("run.yaml"), [])
            slowest = max(slowest, time.perf_counter() - started)
            signal.setitimer(signal.ITIMER_REAL, 0)
            outcomes["read" if said is None else "refused"] += 1
            if said is not None:
                assert re.search(r"run\.yaml(:\d+:\d+)?: ", said), (seed, said)
                assert len(said) < 4000, seed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert outcomes["refused"] > INPUTS / 3
    assert outcomes["read"] > 0
    print(f"{INPUTS} specs: {dict(outcomes)}, slowest {slowest:.2f} s")


def test_a_malformed_override_is_refused_in_one_message(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(TEMPLATES[0])
    for seed in range(INPUTS // 5):
        rng = random.Random(f"override/{seed}")
        text = f"{rng.choice(KEYS)}={rng.choice(VALUES)}"
        said = said_of(path, [text])
        assert said is None or "run.yaml" in said or "--what-if" in said, (seed, said)
