"""Makes the simulated day that ships: `python tools/simulated_day/make.py` plans its runs and writes app/sample/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from clusterctl.dashboard.sample import LEDGER, START, sample_data
from clusterctl.paths import bundle_root
from clusterctl.plan_service import load_world, open_source
from clusterctl.specfile.spec_file import check_spec
from planners.plan.build import build_plan
from planners.plan.value import Plan
from planners.workload.factors import NO_FACTORS
from tools.simulated_day.frames import GPUS_PER_NODE, Pool, gpu_frame, host_frame, sandbox_frame
from tools.simulated_day.incidents import apply, devices, held_idle, notes
from tools.simulated_day.learning import step_metrics
from tools.simulated_day.ledger_rows import ledger_sql
from tools.simulated_day.record import Recorded, StepDone
from tools.simulated_day.smaller import evaluation, synthesis
from tools.simulated_day.story import EVALUATE, HOURS, INCIDENTS, RLCEF, SEED, SPECS, SYNTHESIZE, scenario
from tools.simulated_day.timeline import simulate


def make_day(plans: Mapping[str, Plan]) -> tuple[dict[str, Recorded], dict[str, pl.DataFrame]]:
    """(the runs, the telemetry by table) of runs with these plans; always the same."""
    runs = {
        RLCEF: _rlcef(plans[RLCEF]),
        SYNTHESIZE: synthesis(plans[SYNTHESIZE]),
        EVALUATE: evaluation(plans[EVALUATE]),
    }
    gpus = [held_idle(frame, INCIDENTS, START) for recorded in runs.values() for frame in recorded.gpu]
    hosts = pl.concat([host_frame(frame, seed=SEED + 3) for frame in gpus]).sort("at", "node")
    nodes = {name: [str(gpu) for gpu in range(GPUS_PER_NODE)] for name in hosts["node"].unique().sort()}
    telemetry = {
        "gpu": apply(pl.concat(gpus).sort("at", "node", "gpu"), INCIDENTS, START),
        "host": apply(hosts, INCIDENTS, START),
        "sandbox": runs[RLCEF].sandbox,
        "devices": devices(nodes, START),
        "notes": notes((*INCIDENTS, *(note for run in runs.values() for note in run.notes)), START),
    }
    return runs, telemetry


def new_plan(run_id: str) -> Plan:
    """The plan of a bundled spec with the run's changes; what the user's own runs taught has no part in it."""
    file, changes = SPECS[run_id]
    spec = check_spec(open_source(str(bundle_root() / "templates" / "specs" / file)).document, changes)
    return build_plan(spec, replace(load_world(spec), factors=NO_FACTORS), now=START)


def write_day(folder: Path) -> None:
    """Plan the runs and write the day's files."""
    runs, telemetry = make_day({run_id: new_plan(run_id) for run_id in SPECS})
    folder.mkdir(exist_ok=True)
    (folder / LEDGER).write_text(ledger_sql(runs), "utf-8")
    for table, frame in telemetry.items():
        frame.write_parquet(folder / f"{table}.parquet", compression="zstd", compression_level=19)


def _rlcef(plan: Plan) -> Recorded:
    """The reinforcement-learning run of 64 GPUs."""
    day = simulate(what := scenario(plan), seed=SEED)
    rng = np.random.default_rng(SEED + 1)
    gpus = sum(pool.nodes * pool.gpus_per_node for pool in plan.pools if pool.role == "rollout")
    trainers, rollouts, sandboxes = _nodes(plan)
    steps = tuple(
        StepDone(
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
        plan=plan,
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


if __name__ == "__main__":
    write_day(sample_data())
