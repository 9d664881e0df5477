"""torchtitan's own program on a CPU, and its own parser on the layouts that plans choose."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from job_programs import LIBRARY, OFFLINE, python_of
from roles_here import Place

from clusterctl.jobs.stage_jobs import stage_jobs
from clusterctl.jobs.stage_layout import stage_layout
from clusterctl.paths import bundle_root
from clusterctl.plan_service import load_world
from planners.plan.build import build_plan
from planners.plan.value import Plan
from planners.spec.run_spec import RunSpec


def plan_of(spec: Mapping[str, Any]) -> Plan:
    checked = RunSpec.model_validate(spec)
    return build_plan(checked, load_world(checked), now=datetime.now(tz=UTC))


def smoke() -> dict[str, Any]:
    text = (bundle_root() / "templates" / "specs" / "smoke-pretrain.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


def test_it_trains_and_reports(tmp_path: Path) -> None:
    spec, place = smoke(), Place(folder=tmp_path, environments={"torchtitan-0.3.0": "titan"})
    with place:
        assert place.run(plan_of(spec), "pretrain", seconds=600) == 0, place.log("trainer")
        assert [report["step"] for report in place.reports()] == [1, 2, 3]
        assert {"loss", "grad_norm", "tokens_per_s_per_gpu"} <= set(place.reports()[0]["metrics"])
        assert place.reports()[0]["phases"]["train"] > 0
        assert place.result()["steps"] == 3


@pytest.mark.slow
def test_it_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    spec, place = smoke(), Place(folder=tmp_path, environments={"torchtitan-0.3.0": "titan"})
    with place:
        assert place.run(plan_of(spec), "pretrain", seconds=600) == 0, place.log("trainer")
        spec["stages"][0]["tokens"] = 512
        assert place.run(plan_of(spec), "pretrain", seconds=600) == 0, place.log("trainer")
    assert [report["step"] for report in place.reports()] == [1, 2, 3, 4]


PARSE = """
import json, sys
from torchtitan.config.manager import ConfigManager
config = ConfigManager().parse_args(sys.argv[1:])
p, t = config.parallelism, config.training
print(json.dumps({
    "tp": p.tensor_parallel_degree, "pp": p.pipeline_parallel_degree, "cp": p.context_parallel_degree,
    "ep": p.expert_parallel_degree, "shard": p.data_parallel_shard_degree, "replicate": p.data_parallel_replicate_degree,
    "batch": t.global_batch_size, "local": t.local_batch_size, "steps": t.steps, "seq_len": t.seq_len,
    "recompute": type(config.activation_checkpoint).__qualname__, "compile": config.compile.enable,
    "model": config.model_spec.name, "log": config.metrics.log_freq, "interval": config.checkpoint.interval,
}))
"""
RECOMPUTE = {"no": "NoneType", "selective": "SelectiveAC.Config", "full": "FullAC.Config"}


@pytest.mark.parametrize(
    ("model", "train"),
    [
        pytest.param("meta-llama/Llama-3.1-8B", {"sharding": "fsdp"}, marks=pytest.mark.slow),
        ("meta-llama/Llama-3.1-70B", {"sharding": "megatron", "tp": 8, "pp": 2, "recompute": "full"}),
    ],
)
def test_its_parser_reads_the_layout_that_was_planned(tmp_path: Path, model: str, train: dict[str, Any]) -> None:
    stage = {
        "kind": "pretrain",
        "model": model,
        "tokens": 10**9,
        "seq_len": 8192,
        "global_batch_samples": 128,
        "train": train,
        "job": {"weights": "/models/m", "data": "/data/text"},
    }
    fleet = {"targets": ["aws"], "gpus": ["H100"], "num_gpus": 64}
    plan = plan_of({"name": "x", "stages": [stage], "fleet": fleet})
    layout = stage_layout(plan, plan.stages[0])
    job = stage_jobs(plan, "pretrain", run_id="r", token="t")["trainer"]
    for name, text in job.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    arguments = shlex.split(job.command[-1].split("-m clusterctl_titan", 1)[1].replace("\\\n", " "))
    command = [str(python_of("titan")), "-c", PARSE, *arguments]
    environment = OFFLINE | {"PYTHONPATH": str(LIBRARY), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    read = json.loads(done.stdout.splitlines()[-1])
    assert (read["tp"], read["pp"], read["cp"], read["ep"]) == (layout.tp, layout.pp, layout.cp, layout.ep)
    assert read["shard"] * read["replicate"] == layout.dp
    assert (read["batch"], read["seq_len"]) == (128, 8192)
    assert read["steps"] == pytest.approx(plan.stages[0].units, abs=1)
    assert read["recompute"] == RECOMPUTE[layout.recompute]
    assert read["log"] == 1
    assert read["local"] * layout.dp <= 128
