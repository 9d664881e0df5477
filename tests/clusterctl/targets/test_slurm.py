"""The Slurm target on a cluster that is a script: what is asked of SkyPilot, what a look means, what is given back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from planned_run import planned, run_of
from recorded_sky import Sky

from clusterctl.errors import ClusterctlError
from clusterctl.jobs import Job
from clusterctl.targets import slurm
from clusterctl.targets.base import MachineRequest, RunRef, Unreachable
from clusterctl.targets.shell import Ran, Shell
from clusterctl.targets.sky_errors import SkyError
from clusterctl.targets.slurm_check import check_cluster
from clusterctl.targets.slurm_jobs import parse_jobs
from clusterctl.targets.slurm_tasks import cpu_share, exec_task
from planners.plan.value import Plan
from planners.runs.reconcile import Action, Cause, Change, InstancePhase

START = 1_700_000_000
NAME = "cctl-rl-1-rlcef-sandbox-1"
TAGS = "clusterctl,run=rl-1,pool=pool.rlcef.sandbox,n=1"
NODES = "cpu*|cpu1|32|128000|(null)|idle\ngpu|gpu1|64|512000|gpu:H100:8|idle\n"


class Script(Shell):
    """A cluster that answers what it is told to."""

    name = "mini"

    def __init__(self) -> None:
        self.listing, self.files, self.scripts = "", dict[str, str](), list[str]()
        self.exit_code = 0

    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        self.scripts.append(script)
        if "squeue" in script:
            files = "".join(f"\x1e{name}\n{text}" for name, text in self.files.items())
            return Ran(
                exit_code=self.exit_code,
                stdout=f"{START + 60}\n{self.listing}\n{files}".encode(),
                stderr="no controller",
            )
        answers = {"sinfo": NODES, "scontrol show partition": "MaxTime=1-00:00:00", "echo ~": "/home/u\n"}
        text = next((answer for known, answer in answers.items() if known in script), "")
        return Ran(exit_code=0, stdout=text.encode(), stderr="")

    def job(self, state: str, reason: str = "None", end: int = START + 50) -> None:
        self.listing = f"7|{state}|{START}|{end}|{NAME}-0123abcd|cpu1|{reason}|{TAGS}"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planned(tmp_path_factory.mktemp("plan"), "slurm:mini", ", sbatch: {account: team-a, qos: high}")


@pytest.fixture
def cluster() -> Script:
    return Script()


@pytest.fixture
def target(cluster: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> slurm.SlurmTarget:
    monkeypatch.setattr(slurm, "SkyPilot", Sky)
    return slurm.SlurmTarget(tmp_path, "mini", shell=cluster)


@pytest.fixture
def run(plan: Plan, tmp_path: Path) -> RunRef:
    return run_of(plan, tmp_path / "run")


@pytest.fixture
def sky(target: slurm.SlurmTarget, run: RunRef) -> Sky:
    sky = target._state(run).sky
    assert isinstance(sky, Sky)
    return sky


def requests(plan: Plan) -> list[MachineRequest]:
    pool = plan.pools[0]
    return [
        MachineRequest(resource_id=f"rl-1/{pool.id}/1", pool=pool, index=0, since=datetime.fromtimestamp(START, tz=UTC))
    ]


def begun(target: slurm.SlurmTarget, run: RunRef) -> None:
    target.observe(run)
    target.apply(run, requests(run.plan), make=True)


def rank(phase: str, **more: object) -> str:
    return json.dumps({"phase": phase, "beat": START + 59.0, "started": START + 30.0, "address": "10.0.0.5", **more})


def job_text(**more: object) -> str:
    known = {
        "role": "server",
        "index": 0,
        "resource_id": "rl-1/server/1",
        "cluster": NAME,
        "nodes": 1,
        "gpus_per_node": 0,
        "cpus": 1,
    }
    return json.dumps({**known, "asked_at": START + 20.0, "ports": {"http": 8000}, **more})


def test_a_pool_is_asked_for_once_within_the_runs_limits(target: slurm.SlurmTarget, run: RunRef, sky: Sky) -> None:
    begun(target, run)
    target.apply(run, requests(run.plan), make=True)
    (request,) = sky.asked.values()
    task = request.call["task"]
    options = task["config"]["slurm"]["sbatch_options"]
    assert (request.call["name"], task["num_nodes"]) == (NAME, 1)
    assert task["resources"] == {"infra": "slurm/mini/cpu", "cpus": 30.0, "memory": 121.0}
    assert (options["account"], options["qos"], options["time"]) == (
        "team-a",
        "high",
        "02:15:00",
    )  # 2 h for $7.2, and 15 min
    assert options["comment"].startswith(f"{TAGS},expires=")


def test_an_allocation_waits_comes_and_goes_as_the_scheduler_says(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef, sky: Sky
) -> None:
    begun(target, run)
    seen = []

    def look() -> None:
        (machine,) = target.observe(run).machines
        seen.append(
            (machine.phase, machine.cause, machine.message, machine.since is not None, machine.until is not None)
        )

    look()
    cluster.job("PENDING", "Resources")
    look()
    cluster.job("RUNNING")
    look()
    cluster.files[f"machines/{NAME}"] = ""
    look()
    cluster.job("NODE_FAIL")
    look()
    assert seen == [
        (InstancePhase.QUEUED, Cause.NONE, "SkyPilot prepares its request", False, False),
        (InstancePhase.QUEUED, Cause.NONE, "pending: Resources", False, False),
        (InstancePhase.STARTING, Cause.NONE, "", True, False),
        (InstancePhase.READY, Cause.NONE, "", True, False),
        (InstancePhase.ENDED, Cause.NODE_LOST, "a node has failed", True, True),
    ]


def test_an_allocation_of_a_former_run_with_the_same_name_is_neither_paid_nor_taken(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef, sky: Sky
) -> None:
    cluster.listing = f"7|CANCELLED|{START - 900}|{START - 300}|{NAME}-0123abcd|cpu1|None|{TAGS}"
    begun(target, run)
    (machine,) = target.observe(run).machines
    assert (machine.phase, machine.since, machine.until) == (InstancePhase.QUEUED, None, None)
    assert list(sky.asked) == [f"launch {NAME}"]


def test_a_launch_that_fails_is_no_capacity_and_gives_back_what_it_had(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef, sky: Sky
) -> None:
    begun(target, run)
    sky.asked[f"launch {NAME}"].error = SkyError("no partition has such nodes: cpu")
    (machine,) = target.observe(run).machines
    assert (machine.phase, machine.cause, machine.message) == (
        InstancePhase.ENDED,
        Cause.NO_CAPACITY,
        "no partition has such nodes: cpu",
    )
    cluster.job("RUNNING")
    (machine,) = target.observe(run).machines
    assert (machine.phase, machine.since is not None) == (InstancePhase.ENDING, True)
    target.apply(run, requests(run.plan), make=True)
    target.apply(run, requests(run.plan), make=True)
    assert [s for s in cluster.scripts if "scancel" in s] == ["scancel --full -s TERM 7 2>&1 || true"]


def test_an_allocation_gets_a_lower_limit_when_the_run_may_use_less(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef
) -> None:
    begun(target, run)
    cluster.job("RUNNING", end=START + 7200 + 900)
    now = datetime.now(tz=UTC)
    for seconds_left in (7200, 6900, 1740, 1740):  # at START + 60
        target.observe(run)
        target.set_deadline(run, now + timedelta(seconds=seconds_left), now)
        target.apply(run, requests(run.plan), make=True)
    assert [s for s in cluster.scripts if "TimeLimit" in s] == [
        "scontrol update JobId=7 TimeLimit=00:45:00 2>&1 || true"
    ]


def test_an_autodown_is_compared_now_and_then(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef, sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(target, run)
    sky.asked[f"launch {NAME}"].done = True
    cluster.job("RUNNING")
    cluster.files[f"machines/{NAME}"] = ""
    begun(target, run)
    assert f"autodown {NAME}" not in sky.asked
    monkeypatch.setattr("clusterctl.targets.slurm_run.AUTODOWN_SECONDS", -1.0)
    begun(target, run)
    assert sky.asked[f"autodown {NAME}"].call == {"call": "autodown", "name": NAME, "idle_minutes": slurm.IDLE_MINUTES}


def test_machines_that_skypilot_does_not_prepare_are_given_back(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef, sky: Sky
) -> None:
    begun(target, run)
    cluster.listing = f"7|RUNNING|{START - 1150}|{START + 50}|{NAME}-0123abcd|cpu1|None|{TAGS}"  # it is START + 60 now
    assert [machine.phase for machine in target.observe(run).machines] == [InstancePhase.ENDING]
    target.apply(run, requests(run.plan), make=True)
    assert [s for s in cluster.scripts if "scancel" in s] == ["scancel --full -s TERM 7 2>&1 || true"]
    cluster.listing = cluster.listing.replace("RUNNING", "CANCELLED")
    (machine,) = target.observe(run).machines
    assert (machine.cause, machine.message) == (Cause.NO_CAPACITY, "SkyPilot did not prepare it within 20 minutes")


def test_what_is_not_named_is_given_back_and_its_launch_withdrawn(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef, sky: Sky
) -> None:
    begun(target, run)
    cluster.job("RUNNING")
    target.observe(run)
    target.apply(run, [], make=False)
    assert sky.asked == {}
    assert any("scancel" in script for script in cluster.scripts)


def test_a_scheduler_that_does_not_answer_is_unreachable(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef
) -> None:
    cluster.exit_code = 12
    with pytest.raises(Unreachable, match="mini: its scheduler does not answer: no controller"):
        target.observe(run)
    cluster.exit_code, cluster.listing = 0, "slurm_load_jobs error"
    with pytest.raises(Unreachable, match="can't be read"):
        target.observe(run)


@pytest.mark.parametrize(
    ("state", "files", "expected"),
    [
        ("RUNNING", {}, (InstancePhase.STARTING, Cause.NONE, "")),
        ("RUNNING", {"rank-0.json": rank("ready")}, (InstancePhase.READY, Cause.NONE, "")),
        ("RUNNING", {"rank-0.json": rank("ended", exit_code=0)}, (InstancePhase.ENDED, Cause.DONE, "")),
        (
            "RUNNING",
            {"rank-0.json": rank("ended", exit_code=3, message="no room")},
            (InstancePhase.ENDED, Cause.FAILED, "exit code 3: no room"),
        ),
        (
            "RUNNING",
            {"rank-0.json": rank("ended", exit_code=143, told=True)},
            (InstancePhase.ENDED, Cause.STOPPED, "exit code 143"),
        ),
        (
            "RUNNING",
            {"stop": "please"},
            (InstancePhase.ENDED, Cause.STOPPED, "it was asked to end before it had started"),
        ),
        (
            "RUNNING",
            {"rank-0.json": rank("ready", beat=START - 90.0)},
            (InstancePhase.ENDED, Cause.NODE_LOST, "no sign of life for 120 s"),
        ),
        ("RUNNING", {"rank-0.json": "{"}, (InstancePhase.STARTING, Cause.NONE, "")),
        ("NODE_FAIL", {"rank-0.json": rank("ready")}, (InstancePhase.ENDED, Cause.NODE_LOST, "a node has failed")),
        ("PREEMPTED", {}, (InstancePhase.ENDED, Cause.PREEMPTED, "it was preempted")),
    ],
)
def test_an_instance_is_what_its_ranks_and_its_machines_say(
    target: slurm.SlurmTarget,
    cluster: Script,
    run: RunRef,
    state: str,
    files: Mapping[str, str],
    expected: tuple[InstancePhase, Cause, str],
) -> None:
    cluster.job(state)
    cluster.files = {f"roles/server.1/{name}": text for name, text in {"job.json": job_text(), **files}.items()}
    (instance,) = target.observe(run).instances
    assert (instance.phase, instance.cause, instance.message) == expected
    assert (instance.role, instance.resource_id) == ("server", "rl-1/server/1")


def test_the_rank_that_failed_first_says_why_a_gang_ended(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef
) -> None:
    cluster.job("RUNNING")
    cluster.files = {
        "roles/server.1/job.json": job_text(nodes=2),
        "roles/server.1/rank-0.json": rank("ended", exit_code=143, ended=START + 40.0, message="rank 1 has ended"),
        "roles/server.1/rank-1.json": rank("ended", exit_code=9, ended=START + 35.0, message="out of memory"),
    }
    (instance,) = target.observe(run).instances
    assert instance.message == "rank 1: exit code 9: out of memory"


def test_a_role_gets_the_addresses_that_it_needs(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef, sky: Sky
) -> None:
    begun(target, run)
    cluster.job("RUNNING")
    cluster.files = {"roles/server.1/job.json": job_text(), "roles/server.1/rank-0.json": rank("ready")}
    target.observe(run)
    written: dict[str, str] = {}
    target.place.put = lambda run_id, role, files, job: written.update({role: job})  # type: ignore[method-assign]
    job = Job(command=("train",), pool_id=run.plan.pools[0].id, needs={"SERVER": "server"})
    change = Change(action=Action.LAUNCH, role="trainer", resource_id="rl-1/trainer/2", reason="wanted")
    target.launch(run, change, job)
    environment = json.loads(written["trainer.2"])["environment"]
    assert environment["SERVER"] == "http://10.0.0.5:8000"
    assert environment["CLUSTERCTL_FOLDER"] == "/home/u/.clusterctl/runs/rl-1/roles/trainer.2"
    assert "node_agent.py" in sky.asked["exec trainer.2"].call["task"]["run"]
    assert json.loads(written["trainer.2"])["agent"].endswith("telemetry_role /home/u/.clusterctl/runs/rl-1")


def test_a_role_that_another_process_has_asked_for_is_asked_for_again(
    target: slurm.SlurmTarget, cluster: Script, run: RunRef, sky: Sky
) -> None:
    begun(target, run)
    cluster.job("RUNNING")
    cluster.files = {f"machines/{NAME}": "", "roles/server.1/job.json": job_text()}
    target.observe(run)
    sky.asked.clear()  # of the other process, whose allocation this one's SkyPilot does not know
    target.apply(run, requests(run.plan), make=True)
    assert sky.asked["exec server.1"].after == f"launch {NAME}"
    assert f"launch {NAME}" in sky.asked


def test_roles_of_one_pool_share_its_cores(plan: Plan) -> None:
    pool = plan.pools[0]
    free, stated = Job(command=("a",), pool_id=pool.id), Job(command=("b",), pool_id=pool.id, cpus=4)
    assert cpu_share(plan, pool, free, [free, free]) == 15  # of 30
    assert cpu_share(plan, pool, free, [free, stated]) == 26
    assert cpu_share(plan, pool, stated, [free, stated]) == 4
    assert cpu_share(plan, pool, free, []) == 30
    row = {"nodes": 1, "gpus_per_node": 0, "cpus": 15.0, "index": 1}
    (job,) = parse_jobs(f"7|RUNNING|{START}|N/A|{NAME}-0123abcd|cpu[1-2]|None|{TAGS}")
    task = exec_task("mini", pool, role="server-2.1", command="python3 rank.py", row=row, job=job)
    assert "--nodelist=cpu2 --nodes=1 --ntasks=1 --cpus-per-task=15" in task["run"]


def test_leftovers_are_ours_and_of_no_live_run(target: slurm.SlurmTarget, cluster: Script) -> None:
    other = f"8|RUNNING|{START}|N/A|cctl-x-1|cpu1|None|clusterctl,run=other,pool=p,n=1"
    over = other.replace("8|", "9|", 1).replace("n=1", f"n=1,expires={START}")
    cluster.job("RUNNING")
    cluster.listing += f"\n{other}\n{over}"
    target.place.jobs = lambda: parse_jobs(cluster.listing)  # type: ignore[method-assign]
    known = frozenset({"rl-1"})
    assert [item.address for item in target.leftovers(frozenset(), known)] == ["slurm:7", "slurm:9"]
    assert [item.address for item in target.leftovers(known, known)] == ["slurm:9"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"instance_type": "nope"}, "there is no partition `nope`; there are cpu, gpu"),
        ({"gpus_per_node": 8, "gpu": "H100"}, "partition `cpu` has no node with 8x H100; it has no GPUs"),
        ({"instance_type": "gpu", "gpus_per_node": 8, "gpu": "A100"}, "has no node with 8x A100; it has 8x h100"),
        ({"nodes": 3}, "wants 3 nodes, and partition `cpu` has 1 of that kind"),
    ],
)
def test_what_the_cluster_can_never_have(
    cluster: Script, plan: Plan, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], problem: str
) -> None:
    monkeypatch.setattr("clusterctl.targets.slurm_check.known_clusters", lambda _: ["mini"])
    check_cluster(cluster, "mini", plan)
    other = plan.model_copy(update={"pools": (plan.pools[0].model_copy(update=change),)})
    with pytest.raises(ClusterctlError, match="mini: ") as raised:
        check_cluster(cluster, "mini", other)
    assert problem in raised.value.message


def test_a_cluster_that_nobody_has_configured(cluster: Script, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusterctl.targets.slurm_check.known_clusters", lambda _: ["mini"])
    with pytest.raises(ClusterctlError, match="names no cluster `big`; it has mini"):
        check_cluster(cluster, "big", plan)


def test_a_deadline_is_by_the_places_clock(target: slurm.SlurmTarget, cluster: Script, run: RunRef) -> None:
    target.observe(run)
    now = datetime(2031, 1, 1, tzinfo=UTC)
    target.set_deadline(run, now + timedelta(seconds=600), now)
    target.observe(run)
    assert f"echo {START + 660} >.deadline" in cluster.scripts[-1]


def test_what_will_be_asked_of_the_scheduler_is_said_before(target: slurm.SlurmTarget, plan: Plan) -> None:
    pool, supervisor = target.preview(plan, seconds=7200.0)
    assert pool == (
        "rlcef sandbox: partition cpu, 1 node of 30 CPUs, 121 GiB, "
        "--time=02:15:00 --account=team-a --qos=high, at $3.6 a node-hour"
    )
    assert supervisor == "supervisor: 1 CPU, 3 GiB, unpaid, until the run has ended"
    assert "--time=24:00:00" in target.preview(plan, seconds=None)[0], "as long as the partition lets it"
    assert "--time=00:15:00" in target.preview(plan, seconds=0.0)[0]


def test_an_image_that_a_cluster_without_containers_does_not_use_is_said(
    target: slurm.SlurmTarget, run: RunRef, plan: Plan
) -> None:
    job = {"data": "x", "image": "us/rl@sha256:ab"}
    stage = {**plan.spec["stages"][0], "framework": "trl", "job": job}
    plan = plan.model_copy(update={"spec": {**plan.spec, "stages": [stage]}})
    said = target.preview(plan, seconds=60.0)[-1]
    assert said == (
        "rlcef: the image us/rl@sha256:ab is not used: jobs of a Slurm cluster run on its nodes, which need bash, "
        "python3 (3.9 or newer) and a package index, or the framework's environment in envs/"
    )
    run.folder.mkdir()
    trainer = target.jobs(replace(run, plan=plan), {})["trainer"]
    assert (trainer.image, "trl" in trainer.setup) == ("", True), "its environment is made instead"
