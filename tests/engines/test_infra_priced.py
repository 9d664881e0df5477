"""Previews of our own program by the real engine, on three clouds, priced line by line against sums worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_infra_plain import FakeFleet, Shell, build_engine, make_plan

from clusterctl.review.infrastructure import infrastructure_change

HOURS = 730
LINES = {
    "aws": {
        "nat": 0.005 * HOURS,  # a public address
        "secrets": 1.0,  # a key
        "rlcef-123456": 0.10 * HOURS + 0.045 * HOURS,  # control plane; the NAT gateway has the same name
        "system": 0.096 * HOURS + 20 * 0.10,  # m6i.large, 20 GiB of gp2
        "sandbox-c6i-32xlarge": 5.44 * HOURS + 200 * 0.08,  # 200 GiB of gp3
        "gpu-p5-48xlarge": 2 * (55.04 * HOURS + 500 * 0.08),
    },
    "gcp": {
        "secrets": 0.06,
        "nat": 0.0448 * HOURS,
        "rlcef-123456": 0.10 * HOURS,
        "system": 0.067011 * HOURS + 100 * 0.10,  # e2-standard-2, 100 GB of pd-balanced
        "gpu-a3-highgpu-8g": 2 * (88.49 * HOURS + 500 * 0.10),
        "sandbox-e2-highcpu-16": 3 * (0.395762 * HOURS + 200 * 0.10),
    },
    "azure": {
        "nat": 0.005 * HOURS + 0.045 * HOURS,  # the address and the gateway have one name
        "rlcef-123456": 0.096 * HOURS + 19.71,  # one Standard_D2s_v5 with a P10 disk; the control plane's tier is free
        "sandbox-standard-d16als-v6": 3 * 0.643 * HOURS,  # and three P15 disks, which the book has no price of
        "gpu-standard-nd96is-h100-v5": 2 * 88.488 * HOURS,  # and two P20 disks
    },
}
UNKNOWN = {"aws": set(), "gcp": set(), "azure": {"sandbox-standard-d16als-v6", "gpu-standard-nd96is-h100-v5"}}


@pytest.mark.parametrize("cloud", LINES)
def test_a_preview_of_our_program_costs_what_a_person_works_out(
    cloud: str, tmp_path: Path, in_process: Callable[..., Any]
) -> None:
    engine = build_engine()
    shell = Shell(FakeFleet(tmp_path, engine, make_plan(tmp_path, in_process, cloud)), engine)
    shell.must("stack", "init", "rlcef-123456")
    shell.must("config", "set", "plan", "../../plan.json")
    shell.must("config", "set", "--path", "accessCidrs[0]", "203.0.113.7/32")
    preview = tmp_path / "preview.json"
    preview.write_text(shell.must("preview", "--json"), encoding="utf-8")
    change = infrastructure_change([preview], [])
    found: dict[str, float] = {}
    for each in change.changes:
        if each.after is not None and each.after.usd_per_month:
            name = each.resource.name
            found[name] = found.get(name, 0.0) + each.after.usd_per_month
    assert found == pytest.approx(LINES[cloud])
    assert {each.resource.name for each in change.unknown} == UNKNOWN[cloud]
    assert change.usd_per_month == pytest.approx(sum(LINES[cloud].values()))
    assert change.usd_per_month_before == 0
