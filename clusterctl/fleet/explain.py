"""What an engine or a provider has said, as one of our errors with the way on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterctl.clouds.log_in import LOG_IN
from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.fleet.errors import (
    BucketHoldsData,
    FleetError,
    FleetStateError,
    LoginNeeded,
    NoCapacity,
    QuotaExceeded,
    StackLocked,
)

NO_CAPACITY = (
    "InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity", "ReservationCapacityExceeded",
    "Server.InsufficientInstanceCapacity", "AsgInstanceLaunchFailures", "ZONE_RESOURCE_POOL_EXHAUSTED", "GCE_STOCKOUT",
    "does not have enough resources available", "AllocationFailed", "OverconstrainedAllocationRequest",
    "SkuNotAvailable",
)  # fmt: skip
QUOTA = (
    "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "InstanceLimitExceeded", "ServiceQuotaExceeded",
    "ResourceLimitExceeded", "AddressLimitExceeded", "VpcLimitExceeded", "NatGatewayLimitExceeded", "LimitExceeded",
    "QUOTA_EXCEEDED", "quotaExceeded", "QuotaExceeded", "Insufficient regional quota", "InsufficientVCPUQuota",
    "exceeding approved",
)  # fmt: skip
CREDENTIALS = (
    "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "RequestExpired",
    "SignatureDoesNotMatch", "No valid credential sources", "no EC2 IMDS role found",
    "failed to refresh cached credentials", "token has expired",
    "could not find default credentials", "invalid_grant", "Reauthentication is needed", "invalid_rapt", "AADSTS",
    "InvalidAuthenticationToken", "ExpiredAuthenticationToken", "az login", "DefaultAzureCredential",
)  # fmt: skip
"""Of each cloud, in what its provider says."""
REQUESTS = {
    "aws": "ask for more: https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas, or `aws service-quotas"
    " request-service-quota-increase`; `clusterctl doctor` names the quota",
    "gcp": "ask for more: https://console.cloud.google.com/iam-admin/quotas; `clusterctl doctor` names the quota",
    "azure": "ask for more: https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade;"
    " `clusterctl doctor` names the quota",
}
HOLDS_DATA = ("BucketNotEmpty", "containing objects without `force_destroy`")
"""What the Terraform providers of AWS and Google say of a bucket that they don't delete."""
KEEP = "copy what you want to keep; then `clusterctl sweep --with-data` removes the bucket and what is left of the run"
AGAIN = "the same command again goes on from there; what was made so far is in the state"


def explain(error: Mapping[str, Any], *, run_id: str, backend: str, folder: Path) -> ClusterctlError:
    """The error for what the program's process has said at its end."""
    kind, text = str(error["kind"]), str(error["text"]).strip()
    whole = f"{text}\n{error.get('engine', '')}"
    if kind == "no_sdk":
        message = f"what provisions clusters is not installed: no {text}"
        name = "CLUSTERCTL_PULUMI_PYTHON names the Python of another environment"
        return SpecError(message, hint=f"pip install 'clusterctl[pulumi]'; {name}")
    if kind == "state_lost":
        return FleetStateError(
            f"{run_id} has a fleet, and {backend} holds no state of it",
            hint="CLUSTERCTL_STATE_URL names the place of states; if it is lost, `clusterctl sweep` finds the fleet",
        )
    if kind == "unanswerable":
        return FleetError(
            f"the last change was cut, and nobody can tell whether it has made {text}",
            hint=f"look in the cloud by the tag clusterctl.dev/run={run_id} and remove it there;"
            f" then delete {folder / 'journal.jsonl'}",
        )
    if kind == "deadline":
        return FleetError(text.splitlines()[0], hint=AGAIN)
    return _of_state(whole, backend, folder) or _of_cloud(text or whole, cloud_of(error, whole))


def _of_state(text: str, backend: str, folder: Path) -> ClusterctlError | None:
    """Something between the engine and its state."""
    if lock := re.search(r"created by (\S+) \(pid (\d+)\) at (\S+)", text):
        file = re.search(r"(\S+\.pulumi/locks/\S+\.json)", text)
        name = file[1] if file else f"in {backend}"
        return StackLocked(
            f"{lock[1]} has worked on this fleet since {lock[3]} (process {lock[2]})",
            hint=f"wait until that has ended; where that machine is gone, delete the lock {name}",
        )
    if "currently in progress" in text or "currently locked" in text:
        return StackLocked("another process works on this fleet", hint=f"wait until it has ended; state: {backend}")
    if "incorrect passphrase" in text or "passphrase must be set" in text:
        return FleetStateError(
            "the fleet's state is encrypted with another passphrase",
            hint="PULUMI_CONFIG_PASSPHRASE_FILE names the file of the right one;"
            f" by default it is {folder.parents[1] / 'passphrase'}",
        )
    if re.search(
        r"(newer|more recent) version|deployment version|schema version|unsupported.*version", text, re.IGNORECASE
    ):
        return FleetStateError(
            "the fleet's state was written by another version of Pulumi",
            hint="use that version or a later one: https://www.pulumi.com/docs/install/",
        )
    if re.search(r"unable to (open|check|read) bucket|error reading (stack|bucket)|could not (list|read) bucket", text):
        last = text.strip().splitlines()[-1]
        return FleetStateError(
            f"the place of states can't be read: {backend}: {last}", hint="CLUSTERCTL_STATE_URL names it"
        )
    return None


def _of_cloud(text: str, cloud: str) -> ClusterctlError:
    """Something that a cloud has refused."""
    first = next((line for line in text.splitlines() if line.strip()), "the engine has failed")
    kinds: tuple[tuple[Sequence[str], type[FleetError], str], ...] = (
        (CREDENTIALS, LoginNeeded, f"log in again: {LOG_IN[cloud]}" if cloud in LOG_IN else "log in again"),
        (HOLDS_DATA, BucketHoldsData, KEEP),
        (QUOTA, QuotaExceeded, REQUESTS.get(cloud, "ask the cloud for more; `clusterctl doctor` names the quota")),
        (NO_CAPACITY, NoCapacity, "the plan's next offer, another zone (`zone`) or a later hour may have it"),
    )
    for words, error, hint in kinds:
        for line in text.splitlines():
            if any(word in line for word in words):
                return error(line.strip(), hint=hint)
    return FleetError(first.strip(), hint=AGAIN)


def cloud_of(error: Mapping[str, Any], text: str) -> str:
    """The cloud that has failed; empty where nothing shows it."""
    kinds = " ".join([*error.get("urns", ()), text])
    for cloud, word in (("aws", "aws:"), ("gcp", "gcp:"), ("azure", "azure-native:")):
        if word in kinds:
            return cloud
    return ""
