"""Every spec that ships plans without a change, and always the same, in the real price book."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from clusterctl.plan_service import load_world
from clusterctl.specfile.spec_file import read_spec
from planners.plan.build import build_plan
from planners.plan.identity import content_id
from planners.plan.value import Plan
from planners.search.combine import LONGEST_HOURS

REPO = Path(__file__).resolve().parents[3]
SPECS = sorted((REPO / "templates" / "specs").glob("*.yaml"))
NOW = datetime(2026, 8, 20, tzinfo=UTC)


def made(path: Path, now: datetime = NOW) -> Plan:
    spec = read_spec(path)
    return build_plan(spec, load_world(spec), now=now)


@cache
def plan_of(path: Path) -> Plan:
    return made(path)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_it_plans_within_its_limits(path: Path) -> None:
    spec, plan = read_spec(path), plan_of(path)
    assert plan.feasible
    assert [stage.name for stage in plan.stages] == [stage.name for stage in spec.stages]
    assert plan.hours.p50 <= (spec.limits.hours or LONGEST_HOURS)
    assert plan.usd.p50 <= (spec.limits.usd or float("inf"))
    assert plan.usd.p50 == pytest.approx(sum(line.usd or 0.0 for line in plan.lines), abs=0.005)
    assert (plan.alternatives[0].hours, plan.alternatives[0].usd) == (plan.hours, plan.usd)
    assert not plan.at_least, [line.name for line in plan.lines if line.usd is None]
    gpus = {pool.gpu for pool in plan.pools if pool.gpu}
    assert not spec.fleet.gpus or gpus <= set(spec.fleet.gpus)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_it_survives_a_round_trip_under_its_id(path: Path) -> None:
    plan = plan_of(path)
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    assert content_id(again) == plan.id
    assert len(plan.id) == 16


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_it_plans_the_same_again(path: Path) -> None:
    again = made(path)
    assert again.id == plan_of(path).id
    assert again == plan_of(path)


def test_the_hour_changes_nothing_but_the_stamp() -> None:
    path = next(path for path in SPECS if path.stem == "rlcef")
    later = made(path, NOW.replace(hour=13))
    assert later.id == plan_of(path).id
    assert later.created_at != plan_of(path).created_at
    assert made(path, NOW.replace(year=2027)).id != plan_of(path).id, "prices age"


SCRIPT = """
import json, sys
from datetime import UTC, datetime
from clusterctl.specfile.spec_file import read_spec
from clusterctl.plan_service import load_world
from planners.plan.build import build_plan
ids = {}
for path in sys.argv[1:]:
    spec = read_spec(path)
    ids[path] = build_plan(spec, load_world(spec), now=datetime(2026, 8, 20, tzinfo=UTC)).id
print(json.dumps(ids))
"""


def test_plans_do_not_depend_on_the_order_of_hashes(tmp_path: Path) -> None:
    names = [str(path) for path in SPECS]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "4242"},
    )
    assert json.loads(run.stdout) == {str(path): plan_of(path).id for path in SPECS}
