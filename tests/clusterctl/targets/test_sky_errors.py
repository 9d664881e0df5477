"""SkyPilot's errors in our words."""

from __future__ import annotations

import pytest

from clusterctl.targets.sky_errors import sky_error
from planners.runs.reconcile import Cause

CASES = [
    ("CommandError", "Command ssh failed with return code 255.\nssh: connect to host 10.0.0.9 port 22: Connection refused", "the login node can't be reached"),
    ("CommandError", "skyu@10.0.0.9: Permission denied (publickey).", "the login node refuses the key"),
    ("CommandError", "ssh: Could not resolve hostname login9: Name or service not known", "the login node's name is not known"),
    ("ValueError", "Partition nope not found in cluster mini. Available partitions: ['cpu', 'gpu']", "there is no such partition"),
    ("ResourcesUnavailableError", "\x1b[31mCatalog does not contain any instances satisfying the request: no launchable resource\x1b[0m", "no partition has such nodes"),
    ("RuntimeError", "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified", "the scheduler refuses account or QOS"),
    ("ResourcesUnavailableError", "RuntimeError: Job 4 not found. It may have been cancelled or failed.\nFailed to provision all possible launchable resources.", "the allocation ended before it was ready"),
    ("RuntimeError", "Failed to run setup commands on an instance. curl: (6) Could not resolve host: astral.sh", "SkyPilot could not be set up on the nodes"),
    ("CommandError", "mkdir: cannot create directory: Disk quota exceeded", "a disk is full"),
    ("ClusterDoesNotExist", "\x1b[33mCluster 'cctl-x' does not exist.\x1b[0m", "the machines are not there any more"),
    ("KubernetesError", 'ErrImagePull: failed to pull and unpack image "registry.invalid/x:1": no such host', "the image can't be pulled"),
    ("RuntimeError", "Job is pending: AssocGrpGRES", "account or QOS have no more room"),
    ("ApiServerConnectionError", "Could not connect to SkyPilot API server at http://127.0.0.1:1: Connection refused", "SkyPilot's server does not answer"),
    ("KeyError", "'x'", "KeyError"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "cause"), CASES)
def test_cause_in_one_sentence(kind: str, text: str, cause: str) -> None:
    error = sky_error(kind, text)
    assert error.message.startswith(f"{cause}: ")
    assert "\n" not in error.message
    assert "\x1b" not in error.message


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('ErrImagePull: failed to pull and unpack image "registry.invalid/x:1": no such host', Cause.REFUSED),
        ('ErrImagePull: failed to pull image "registry/x:1": 503 Service Unavailable', Cause.NO_CAPACITY),
        ("sbatch: error: Invalid account or account/partition combination specified", Cause.REFUSED),
        ("did not get nodes allocated within 60 seconds", Cause.NO_CAPACITY),
        ("ApiServerConnectionError: Could not connect to SkyPilot API server", Cause.LAUNCHER),
    ],
)
def test_what_does_not_come_by_waiting_is_refused(text: str, cause: Cause) -> None:
    assert sky_error("RuntimeError", text).cause is cause


def test_what_people_need_is_in_the_sentence() -> None:
    assert sky_error(*CASES[3][:2]).message.endswith(
        "Partition nope not found in cluster mini. Available partitions: ['cpu', 'gpu']"
    )
    assert "account or account/partition" in sky_error(*CASES[5][:2]).message
