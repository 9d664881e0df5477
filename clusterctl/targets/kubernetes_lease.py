"""A Lease of the API as the lock of a run's supervisor, around any command: arguments NAMESPACE NAME -- COMMAND.

Whoever holds it renews it; it is over when nobody has for its whole time by the clock of whoever waits, so that clocks
need not agree.  One that finds another holder in its lease, or can't renew it in time, kills its command before
another could have taken the lease.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from clusterctl.errors import ClusterctlError
from clusterctl.targets.kubernetes_api import Kubernetes, Object
from clusterctl.targets.kubernetes_errors import AlreadyThere, Conflict, NotThere

LEASES = "coordination.k8s.io/v1/leases"
LEASE_SECONDS = 30
RENEW_SECONDS = 10.0
GIVE_UP_SECONDS = 20.0
"""Without a renewal for so long the command is killed: earlier than anybody may take the lease."""
STOLEN = 3
"""Exit code of one whose lease was taken."""


class KubernetesLease:
    """One lease, as one holder sees it."""

    def __init__(self, place: Kubernetes, name: str, holder: str, now: Callable[[], float] = time.monotonic) -> None:
        self._place, self._name, self._holder, self._now = place, name, holder, now
        self._seen: tuple[object, object] | None = None
        self._seen_at = 0.0

    def take(self) -> bool:
        """Take it, or renew it; whether this holder has it now.  Raises Unreachable."""
        lease = self._place.get(LEASES, self._name)
        try:
            if lease is None:
                self._place.create(self._mine({"metadata": {"name": self._name}, "spec": {"leaseTransitions": 0}}))
                return True
            if not self._free(lease["spec"]):
                return False
            self._place.replace(self._mine(lease))
        except (AlreadyThere, Conflict, NotThere):
            return False
        return True

    def _free(self, spec: Object) -> bool:
        """Whether it is ours, nobody's, or has not been renewed for its whole time since we first saw it so."""
        if spec.get("holderIdentity") in {self._holder, "", None}:
            return True
        seen = (spec.get("holderIdentity"), spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._now()
        return self._now() - self._seen_at > float(spec.get("leaseDurationSeconds", LEASE_SECONDS))

    def _mine(self, lease: Object) -> Object:
        now = f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        spec = lease["spec"]
        if spec.get("holderIdentity") != self._holder:
            spec |= {"acquireTime": now, "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        spec |= {"holderIdentity": self._holder, "renewTime": now, "leaseDurationSeconds": LEASE_SECONDS}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease, "spec": spec}


def run_under(lease: KubernetesLease, command: Sequence[str]) -> int:
    """Run the command while the lease is held; its exit code, or STOLEN."""
    while not _taken(lease):
        time.sleep(RENEW_SECONDS / 5)
    child = subprocess.Popen(list(command), start_new_session=True)  # noqa: S603 - a list, no shell
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    renewed = time.monotonic()
    while True:
        try:
            return child.wait(RENEW_SECONDS)
        except subprocess.TimeoutExpired:
            held = _renewed(lease)
        if held:
            renewed = time.monotonic()
        elif held is False or time.monotonic() - renewed > GIVE_UP_SECONDS:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            why = "another supervisor has it" if held is False else "the API server does not answer"
            sys.stderr.write(f"the lease is lost ({why}): the supervisor was ended; what it watches goes on\n")
            return STOLEN


def _taken(lease: KubernetesLease) -> bool:
    try:
        return lease.take()
    except ClusterctlError as error:
        sys.stderr.write(f"the lease can't be taken yet: {error}\n")
        return False


def _renewed(lease: KubernetesLease) -> bool | None:
    """None = nobody can say."""
    try:
        return lease.take()
    except ClusterctlError:
        return None


def main(arguments: Sequence[str]) -> int:
    """NAMESPACE NAME -- COMMAND; the holder is this pod."""
    namespace, name, _, *command = arguments
    holder = f"{os.environ.get('HOSTNAME', 'unknown')}/{os.getpid()}-{time.time_ns()}"
    return run_under(KubernetesLease(Kubernetes("", namespace=namespace), name, holder), command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
