"""What Slurm's listings mean, without a Slurm."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from clusterctl.targets.slurm_check import parse_nodes
from clusterctl.targets.slurm_jobs import cluster_name, comment, expand, newest, parse_jobs, seconds_of, time_limit
from planners.runs.reconcile import Cause, InstancePhase

TAGS = "clusterctl,run=rl-1,pool=pool.rlcef.trainer+rollout,n=2"


def line(
    state: str, *, start: str = "1700000000", end: str = "1700000100", nodes: str = "gpu[1-2]", reason: str = "None"
) -> str:
    return f"7|{state}|{start}|{end}|cctl-rl-1-trainer-2-0123abcd|{nodes}|{reason}|{TAGS}"


@pytest.mark.parametrize(
    ("text", "phase", "cause", "message"),
    [
        (
            line("PENDING", start="N/A", end="N/A", nodes="", reason="Resources"),
            InstancePhase.QUEUED,
            Cause.NONE,
            "pending: Resources",
        ),
        (
            line("PENDING", start="1800000000", nodes="", reason="Priority"),
            InstancePhase.QUEUED,
            Cause.NONE,
            "pending: Priority",
        ),
        (line("CONFIGURING"), InstancePhase.STARTING, Cause.NONE, ""),
        (line("RUNNING"), InstancePhase.STARTING, Cause.NONE, ""),
        (line("COMPLETING"), InstancePhase.ENDING, Cause.NONE, ""),
        (line("NODE_FAIL"), InstancePhase.ENDED, Cause.NODE_LOST, "a node has failed"),
        (line("PREEMPTED"), InstancePhase.ENDED, Cause.PREEMPTED, "it was preempted"),
        (line("TIMEOUT"), InstancePhase.ENDED, Cause.PREEMPTED, "it has reached the time limit of its allocation"),
        (line("CANCELLED by 4242"), InstancePhase.ENDED, Cause.STOPPED, "it was cancelled"),
        (line("CANCELLED+"), InstancePhase.ENDED, Cause.STOPPED, "it was cancelled"),
        (line("COMPLETED"), InstancePhase.ENDED, Cause.STOPPED, ""),
        (line("OUT_OF_MEMORY"), InstancePhase.ENDED, Cause.FAILED, ""),
    ],
)
def test_states(text: str, phase: InstancePhase, cause: Cause, message: str) -> None:
    (job,) = parse_jobs(text)
    assert (job.phase, job.cause, job.message) == (phase, cause, message)
    assert job.name == "cctl-rl-1-trainer-2"
    assert job.tags == {"run": "rl-1", "pool": "pool.rlcef.trainer+rollout", "n": "2"}


@pytest.mark.parametrize("nodes", ["", "None assigned"])
def test_an_allocation_that_never_had_nodes_is_not_paid(nodes: str) -> None:
    """squeue and sacct give the moment at which it was cancelled as its start."""
    (job,) = parse_jobs(line("CANCELLED by 4242", end="1700000000", nodes=nodes))
    assert (job.ended, job.since, job.nodes) == (True, None, ())


def test_an_allocation_is_paid_from_the_schedulers_start_to_its_end() -> None:
    running, ended, waiting = parse_jobs(
        "\n".join([line("RUNNING"), line("NODE_FAIL"), line("PENDING", start="1800000000")])
    )
    start = datetime.fromtimestamp(1700000000, tz=UTC)
    assert (running.since, running.until) == (start, None)
    assert (ended.since, ended.until) == (start, datetime.fromtimestamp(1700000100, tz=UTC))
    assert waiting.since is None  # an estimate of the scheduler's is no start


def test_jobs_of_others_are_left_out_and_what_is_no_listing_is_refused() -> None:
    assert parse_jobs("8|RUNNING|1|2|bash|cpu1|None|(null)\n\n") == ()
    with pytest.raises(ValueError, match="not a line of squeue"):
        parse_jobs("slurm_load_jobs error: Unable to contact slurm controller")


def test_of_two_jobs_of_a_name_the_live_one_counts() -> None:
    jobs = parse_jobs("\n".join([line("RUNNING"), line("NODE_FAIL").replace("7|", "9|", 1)]))
    assert newest(jobs)["cctl-rl-1-trainer-2"].job_id == "7"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu[1-3,7],cpu1", ["gpu1", "gpu2", "gpu3", "gpu7", "cpu1"]),
        ("n[008-010]", ["n008", "n009", "n010"]),
        ("rack1-[1-2]-ib", ["rack1-1-ib", "rack1-2-ib"]),
        ("login", ["login"]),
        ("(null)", []),
        ("", []),
    ],
)
def test_lists_of_hosts(text: str, names: list[str]) -> None:
    assert list(expand(text)) == names


def test_names_are_the_same_each_time_distinct_and_short_enough() -> None:
    long = [cluster_name("r" * 150, f"pool.{pool}", 1) for pool in ("a.trainer", "b.trainer")]
    assert long == [cluster_name("r" * 150, f"pool.{pool}", 1) for pool in ("a.trainer", "b.trainer")]
    assert len(set(long)) == 2
    assert max(map(len, long)) + len("-0123abcd") <= 120
    assert cluster_name("RL_1", "pool.rlcef.trainer+rollout", 3) == "cctl-rl-1-rlcef-trainer-rollout-3"
    assert comment(run="a b,c", pool="x+y") == "clusterctl,run=a_b_c,pool=x+y"


def test_time_limits() -> None:
    assert [seconds_of(text) for text in ("1-02:03:04", "02:03:04", "30:00", "UNLIMITED")] == [
        93784.0,
        7384.0,
        1800.0,
        None,
    ]
    assert [time_limit(seconds, most) for seconds, most in ((5400, None), (5400, 3600.0), (1, None))] == [
        "01:30:00",
        "01:00:00",
        "00:01:00",
    ]


def test_nodes_of_partitions() -> None:
    nodes = parse_nodes("cpu*|c1|32|128000|(null)|idle\ngpu|g1|64+|512000|gpu:H100:8(S:0-1)|drng\nsinfo: warning\n")
    assert sorted(nodes) == ["cpu", "gpu"]
    assert (nodes["gpu"][0].gpus, nodes["gpu"][0].up, nodes["cpu"][0].gpus, nodes["cpu"][0].up) == (
        {"h100": 8},
        True,
        {},
        True,
    )
