"""The commands that a run's roles execute on this machine."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.paths import bundle_root, user_data_dir
from clusterctl.runs.folder import RunFolder
from clusterctl.specfile.write import write_atomic
from clusterctl.targets.base import Job
from clusterctl.targets.local import SANDBOX, TELEMETRY, TRAINER
from clusterctl.telemetry import MARKS_VARIABLE, PHASES_VARIABLE
from clusterctl.telemetry.phase_socket import socket_path
from clusterctl.telemetry.settings import Settings, installed, written_store
from planners.plan.value import Plan
from planners.spec.profiles import sandbox_need
from planners.spec.run import RunSpec
from planners.spec.stages_rl import RlcefStage
from planners.workload.host import HOST_SPEEDS, QUICKSTART_LLAMA

MIB_PER_GIB = 1024
LEAST_MEMORY_MIB = 512
"""What the quickstart's trainer asks for each program."""


def quickstart_stage(spec: RunSpec) -> RlcefStage:
    """The stage that this machine can run.  Raises SpecError for anything else."""
    if len(spec.stages) == 1:
        stage = spec.stages[0]
        if stage.kind == "rlcef" and str(stage.model) in HOST_SPEEDS:
            return stage
    raise SpecError(
        f"`{spec.name}` does not run here: this machine runs one rlcef stage with model {' or '.join(HOST_SPEEDS)}",
        hint="`clusterctl init quickstart` writes a spec that runs here; other specs can be planned, not yet launched",
    )


def check_packages(plan: Plan) -> None:
    """Raises ClusterctlError where the plan's trainer needs packages that this installation lacks."""
    if quickstart_stage(RunSpec.model_validate(plan.spec)).model == QUICKSTART_LLAMA:
        needed = ("datasets", "torch", "transformers", "trl")
        if absent := [package for package in needed if find_spec(package) is None]:
            raise ClusterctlError(
                f"`{plan.name}` trains by TRL, which needs packages that are missing: {', '.join(absent)}",
                hint="pip install 'clusterctl[train]'",
            )


def local_jobs(spec: RunSpec, folder: RunFolder) -> dict[str, Job]:
    """Command of every role: telemetry where its extra is installed.  The sandbox's port is chosen once and kept."""
    stage = quickstart_stage(spec)
    need = sandbox_need(stage.sandbox, default_profile="judge")
    port = _port(folder)
    workers = max(1, round(spec.fleet.machines[0].vcpus / need.cpus)) if spec.fleet.machines else 2
    memory_mib = max(round(need.memory_gib * MIB_PER_GIB), LEAST_MEMORY_MIB)
    python, sandbox_url = (sys.executable, "-P", "-m"), f"http://127.0.0.1:{port}"
    agent = Settings(
        store=written_store(),
        node=socket.gethostname(),
        listen="127.0.0.1:0",
        sandboxes=(sandbox_url,),
        metrics_files=(str(folder.metrics),),
    )
    return ({TELEMETRY: Job(command=tuple(agent.command()))} if installed() else {}) | {
        SANDBOX: Job(command=(*python, "clusterctl.jobs.sandbox_role", str(port), str(workers), str(memory_mib))),
        TRAINER: Job(
            command=(
                sys.executable,
                "-P",
                str(bundle_root() / "examples" / "quickstart" / "trainer.py"),
                "--run-dir",
                str(folder.path),
                "--sandbox-url",
                sandbox_url,
                "--steps",
                str(stage.steps),
                "--prompts",
                str(stage.prompts_per_step),
                "--samples",
                str(stage.samples_per_prompt),
                *(["--trl"] if stage.model == QUICKSTART_LLAMA else []),
            ),
            environment={
                "PYTHONPATH": str(bundle_root()),
                PHASES_VARIABLE: str(socket_path(user_data_dir())),
                MARKS_VARIABLE: str(folder.marks),
            },
        ),
    }


def _port(folder: RunFolder) -> int:
    if folder.port.exists():
        return int(folder.port.read_text("ascii"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    write_atomic(folder.port, str(port))
    return port
