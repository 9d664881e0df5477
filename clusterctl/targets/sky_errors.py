"""SkyPilot's errors as ours: the cause in one sentence, and what to do."""

from __future__ import annotations

import re

from clusterctl.errors import ClusterctlError
from clusterctl.targets.kubernetes_pods import MOMENTARY
from planners.runs.reconcile import Cause

MOST_LETTERS = 300
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
NOISE = re.compile(r"^(Traceback|\s|File \"|={3,}|-{3,}|To |Hint:|Please |See |View logs|└|├|│)")


class SkyError(ClusterctlError):
    """SkyPilot refused, or its request failed.  cause: REFUSED where waiting does not help."""

    cause = Cause.NO_CAPACITY


class ServerLostError(SkyError):
    """SkyPilot's server has ended, or can't be started: nothing was said about machines."""

    cause = Cause.LAUNCHER


SSH = "`ssh -F ~/.slurm/config CLUSTER` must work without a question"
SIZES = "compare fleet.machines with `sinfo -o '%P %D %c %m %G'` and `scontrol show node`"
IMAGE, ACCOUNT = "the image can't be pulled", "the scheduler refuses account or QOS"
"""What does not come by waiting."""
IMAGE_HINT = "`job: image` or CLUSTERCTL_POOL_IMAGE names it; a registry that wants a login needs an image pull secret"
SILENT = "SkyPilot's server does not answer"
KNOWN: tuple[tuple[str, str, str | None], ...] = (
    (r"ApiServerConnectionError", SILENT, None),
    (r"Could not resolve hostname", "the login node's name is not known", "HostName in ~/.slurm/config names it"),
    (r"Permission denied \(", "the login node refuses the key", SSH),
    (r"Connection (refused|timed out|closed|reset)|No route to host", "the login node can't be reached", SSH),
    (r"Host key verification failed", "the login node's host key is not known", SSH),
    (r"[Pp]artition .*not found|invalid partition", "there is no such partition", "`sinfo` shows the partitions"),
    (r"ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull", IMAGE, IMAGE_HINT),
    (r"Invalid account|Invalid qos|InvalidAccount", ACCOUNT,
     "fleet.machines[].sbatch states them; `sacctmgr show assoc user=$USER` shows yours"),
    (r"AssocGrp|AssocMax", "account or QOS have no more room",
     "fleet.machines[].sbatch states them; `sacctmgr show assoc user=$USER` shows yours"),
    (r"did not get nodes allocated within", "no nodes came free in time", "`squeue` shows who has them"),
    (r"Requested node configuration is not available", "no node of the partition is large enough", SIZES),
    (r"[Nn]o (resource satisfying|launchable resource)|[Ii]nfeasible", "no partition has such nodes", SIZES),
    (r"astral\.sh|Failed to fetch|error sending request|Failed to run setup commands",
     "SkyPilot could not be set up on the nodes", "nodes without internet need it prepared: docs/slurm.md"),
    (r"exited \(\w+\) before initialization|No nodes found for job|may have been cancelled",
     "the allocation ended before it was ready", None),
    (r"No space left on device|Disk quota exceeded", "a disk is full", "make room in the home folder of the cluster"),
    (r"NoCloudAccess|No cloud is enabled|not enabled", "SkyPilot has no access to the place", "`sky check` says why"),
    (r"ClusterDoesNotExist|ClusterNotUp|is not up", "the machines are not there any more", None),
    (r"RequestCancelled|CANCELLED", "the request was withdrawn", None),
)  # fmt: skip
"""What its text matches, the cause, the way on."""


def sky_error(kind: str, text: str) -> SkyError:
    """The error that SkyPilot raised, by its type and text."""
    clean = COLOUR.sub("", text)
    where = _line(clean)
    for pattern, cause, hint in KNOWN:
        if re.search(pattern, f"{kind}: {clean}"):
            error = SkyError(f"{cause}: {where}" if where else cause, hint=hint)
            if cause in {IMAGE, ACCOUNT} and not MOMENTARY.search(clean):
                error.cause = Cause.REFUSED
            if cause == SILENT:
                error.cause = Cause.LAUNCHER
            return error
    return SkyError(f"{kind}: {where}" if where else kind)


def _line(text: str) -> str:
    """The line that says most: the one of the innermost failure, else the first that is no frame of a drawing."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not NOISE.match(line)]
    told = [line for line in lines if re.search(r"(?i)error|fail|denied|refused|invalid|no such|not ", line)]
    return (told or lines or [""])[0][:MOST_LETTERS]
