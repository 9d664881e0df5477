"""The commands of a quickstart's roles on this machine."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.jobs import Job
from clusterctl.paths import bundle_root
from clusterctl.telemetry import PHASES_VARIABLE, REPORTS_VARIABLE
from clusterctl.telemetry.phase_socket import socket_path
from clusterctl.telemetry.settings import AgentSettings, installed, written_store
from planners.plan.value import Plan
from planners.spec.profiles import sandbox_need
from planners.spec.run_spec import RunSpec
from planners.spec.stages_rl import RlcefStage
from planners.workload.rl import QUICKSTART, QUICKSTART_LLAMA

MIB_PER_GIB = 1024
LEAST_MEMORY_MIB = 512
"""What the quickstart's trainer asks for each program."""
TOKEN_FILE = "sandbox.token"  # noqa: S105 - the name of a file


def quickstart_stage(spec: RunSpec) -> RlcefStage:
    """The stage that this machine can run.  Raises SpecError for anything else."""
    if len(spec.stages) == 1:
        stage = spec.stages[0]
        if stage.kind == "rlcef" and str(stage.model) in (QUICKSTART, QUICKSTART_LLAMA):
            return stage
    raise SpecError(
        f"`{spec.name}` does not run here: this machine runs one rlcef stage with model {QUICKSTART} or "
        f"{QUICKSTART_LLAMA}",
        hint="`clusterctl init quickstart` writes a spec that runs here; other specs can be planned, not yet launched",
    )


def check_quickstart(plan: Plan) -> None:
    """Raises SpecError for another kind of run, ClusterctlError where its trainer needs packages that are missing."""
    if quickstart_stage(RunSpec.model_validate(plan.spec)).model == QUICKSTART_LLAMA:
        needed = ("datasets", "torch", "transformers", "trl")
        if absent := [package for package in needed if find_spec(package) is None]:
            raise ClusterctlError(
                f"`{plan.name}` trains by TRL, which needs packages that are missing: {', '.join(absent)}",
                hint="pip install 'clusterctl[train]'",
            )


def quickstart_jobs(plan: Plan, folder: Path, *, store: Path, port: str | None) -> Mapping[str, Job]:
    """Command of every role; telemetry where its extra is installed.

    folder: the run's; port: of the sandbox's last start, so that a trainer finds the next one; None = choose one.
    """
    spec = RunSpec.model_validate(plan.spec)
    stage = quickstart_stage(spec)
    need = sandbox_need(stage.sandbox, default_profile="judge")
    port = port or _free_port()
    workers = max(1, round(spec.fleet.machines[0].vcpus / need.cpus)) if spec.fleet.machines else 2
    memory_mib = max(round(need.memory_gib * MIB_PER_GIB), LEAST_MEMORY_MIB)
    sandbox_url = f"http://127.0.0.1:{port}"
    token_file = str(folder / TOKEN_FILE)
    sandbox = (
        sys.executable,
        "-P",
        "-m",
        "clusterctl.jobs.sandbox_role",
        port,
        str(workers),
        str(memory_mib),
        token_file,
    )
    trainer = {
        "--run-dir": str(folder),
        "--sandbox-url": sandbox_url,
        "--sandbox-token-file": token_file,
        "--steps": str(stage.steps),
        "--prompts": str(stage.prompts_per_step),
        "--samples": str(stage.samples_per_prompt),
    }
    script = str(bundle_root() / "examples" / "quickstart" / "trainer.py")
    options = [word for option in trainer.items() for word in option]
    options += ["--trl"] if stage.model == QUICKSTART_LLAMA else []
    environment = {
        "PYTHONPATH": str(bundle_root()),
        PHASES_VARIABLE: str(socket_path(store)),
        REPORTS_VARIABLE: str(folder / "reports.jsonl"),
    }
    jobs = {
        "sandbox": Job(command=sandbox, tags={"port": port}),
        "trainer": Job(command=(sys.executable, "-P", script, *options), environment=environment),
    }
    if installed():
        agent = AgentSettings(
            store=written_store(),
            node=socket.gethostname(),
            listen="127.0.0.1:0",
            sandboxes=(sandbox_url,),
            sandbox_token_file=token_file,
            metrics_files=(str(folder / "metrics.prom"),),
        )
        jobs["telemetry"] = Job(command=tuple(agent.command()))
    return jobs


def make_token(folder: Path) -> None:
    """The token of the run's own sandbox, once for a run: other users of this machine can't read it.

    A folder that a job has made unusable gets none; the sandbox then says so in its log.
    """
    file = folder / TOKEN_FILE
    with suppress(OSError):
        if not file.exists():
            descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".sandbox.", suffix=".token")
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_urlsafe(32))
            with suppress(FileExistsError):
                os.link(temporary, file)
            Path(temporary).unlink()


def run_token(folder: Path) -> str:
    """That token, made where it is missing.  Raises OSError."""
    make_token(folder)
    return (folder / TOKEN_FILE).read_text("ascii")


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
