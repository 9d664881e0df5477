"""Makes the simulated day: plans, runs, costs and events into a ledger, frames into a telemetry store."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from clusterctl.ledger import open_ledger
from clusterctl.paths import bundle_root
from clusterctl.plan_service import load_world, open_source
from tools.simulated_day.record import Recorded, record_run
from tools.simulated_day.smaller import evaluation, synthesis
from tools.simulated_day.story import EVALUATE, HOURS, INCIDENTS, RLCEF, SEED, SPECS, START, SYNTHESIZE, scenario
from clusterctl.specfile.spec_file import check_spec
from clusterctl.specfile.write import write_atomic
from clusterctl.store import open_store
from planners.plan.build import build_plan
from planners.plan.value import Plan
from tools.simulated_day.frames import GPUS_PER_NODE, Pool, gpu_frame, host_frame, sandbox_frame
from tools.simulated_day.incidents import apply, devices, notes
from tools.simulated_day.learning import step_metrics
from tools.simulated_day.timeline import simulate
from planners.workload.factors import NO_FACTORS

VERSION = 2
"""Raised when the day changes: an older one in a user's folder is then made anew."""
STAMP = "sample.json"


def ensure_sample(home: Path) -> Path:
    """Folder of the simulated day below `home` (`ledger.db`, `telemetry/`); made when absent or of another version."""
    folder = home / "sample"
    if _version(folder) == VERSION:
        return folder
    home.mkdir(parents=True, exist_ok=True)
    new = home / f"sample.new-{os.getpid()}"
    shutil.rmtree(new, ignore_errors=True)
    make_sample(new)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        new.rename(folder)
    except OSError:  # another process was faster, with the same day
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _version(folder: Path) -> int | None:
    try:
        found = json.loads((folder / STAMP).read_text("utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None


def make_sample(folder: Path) -> None:
    """Write the day into an empty folder; always the same day."""
    plans = {run: _plan(file, changes) for run, (file, changes) in SPECS.items()}
    store = open_store(str(folder / "telemetry"))
    runs = {
        RLCEF: _rlcef(plans[RLCEF]),
        SYNTHESIZE: synthesis(plans[SYNTHESIZE]),
        EVALUATE: evaluation(plans[EVALUATE]),
    }
    with open_ledger(str(folder / "ledger.db")) as ledger:
        for run_id, recorded in runs.items():
            record_run(ledger, run_id, plans[run_id], recorded)
    gpus = [frame for recorded in runs.values() for frame in recorded.gpu]
    hosts = pl.concat([host_frame(frame, seed=SEED + 3) for frame in gpus]).sort("at", "node")
    nodes = {name: [str(gpu) for gpu in range(GPUS_PER_NODE)] for name in hosts["node"].unique().sort()}
    store.append("gpu", apply(pl.concat(gpus).sort("at", "node", "gpu"), INCIDENTS, START))
    store.append("host", apply(hosts, INCIDENTS, START))
    store.append("sandbox", runs[RLCEF].sandbox)
    store.append("devices", devices(nodes, START))
    store.append("notes", notes((*INCIDENTS, *(note for run in runs.values() for note in run.notes)), START))
    store.flush()
    store.close()
    write_atomic(folder / STAMP, json.dumps({"version": VERSION, "simulated": True, "seed": SEED}) + "\n")


def _plan(file: str, changes: Sequence[str]) -> Plan:
    """The plan of a bundled spec with changes; what the user's own runs taught has no part in it."""
    spec = check_spec(open_source(str(bundle_root() / "templates" / "specs" / file)).document, changes)
    return build_plan(spec, replace(load_world(spec), factors=NO_FACTORS), now=START)


def _rlcef(plan: Plan) -> Recorded:
    """The reinforcement-learning run of 64 GPUs."""
    from tools.simulated_day.record import Recorded, Said

    day = simulate(what := scenario(plan), seed=SEED)
    rng = np.random.default_rng(SEED + 1)
    gpus = sum(pool.nodes * pool.gpus_per_node for pool in plan.pools if pool.role == "rollout")
    trainers, rollouts, sandboxes = _nodes(plan)
    steps = tuple(
        Said(
            stage="rlcef",
            step=done.step,
            of=what.steps,
            at=_at(done.end),
            phases=done.phases,
            metrics=step_metrics(done, samples=what.samples_per_step, gpus=gpus, rng=rng),
        )
        for done in day.steps
    )
    lanes = (("trainer", trainers, day.trainer, 71_400), ("rollout", rollouts, day.rollout, 73_900))
    frames = tuple(
        gpu_frame(
            Pool(nodes=nodes, run=RLCEF, role=role, lane=lane, fb_used_mib=used), START, hours=HOURS, seed=SEED + i
        )
        for i, (role, nodes, lane, used) in enumerate(lanes)
    )
    events = [
        ("gone", "trainer ended: Xid 79 on gpu-3, GPU 5", _at(at - 960.0), "trainer") for at, _, _ in day.recovered
    ] + [
        (
            "launch",
            f"trainer: goes on from the checkpoint of step {kept}; steps {kept + 1} to {lost} are done again",
            _at(at),
            "trainer",
        )
        for at, kept, lost in day.recovered
    ]
    return Recorded(
        nodes={"trainer": trainers, "rollout": rollouts, "sandbox": sandboxes},
        start=START,
        end=None,
        steps=steps,
        gpu=frames,
        events=tuple(events),
        sandbox=sandbox_frame(what, day, START, nodes=sandboxes, run=RLCEF, seed=SEED + 2),
    )


def _nodes(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Host names of the trainer, rollout and sandbox nodes."""
    count = {pool.role: pool.nodes for pool in plan.pools}
    gpu = [f"gpu-{i + 1}" for i in range(count["trainer"] + count["rollout"])]
    return (
        tuple(gpu[: count["trainer"]]),
        tuple(gpu[count["trainer"] :]),
        tuple(f"sandbox-{i + 1}" for i in range(count["sandbox"])),
    )


def _at(second: float) -> datetime:
    return START + timedelta(seconds=second)
