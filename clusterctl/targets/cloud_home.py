"""Where the supervisor of a run in a cloud lives: in the run's own cluster, once that is there.

Until then nobody supervises the run, and nothing of it is paid but what Pulumi has made: no pool has a node.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from pydantic import ValidationError

from clusterctl.clock import Beat, SteadyClock, seconds_since
from clusterctl.errors import SpecError, StateError
from clusterctl.fleet.outputs import FleetOutputs
from clusterctl.fleet.stack import FleetStack
from clusterctl.foreign_files import read_limited, replace_whole
from clusterctl.json_text import json_text
from clusterctl.ledger.locks import LockHeldError
from clusterctl.targets.base import RunRef, Unreachable, result_name
from clusterctl.targets.kubernetes import KubernetesHome
from clusterctl.targets.kubernetes_api import Kubernetes
from clusterctl.targets.kubernetes_shell import ROOT, PodShell
from clusterctl.targets.remote_home import RemoteHome
from clusterctl.targets.supervisor_home import Looked, SupervisorHome
from clusterctl.targets.wishes import Wish, heed, last_beat

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

FLEET, KUBECONFIG, LOCK = "fleet.json", "kubeconfig", "cluster.lock"
"""In the run's folder: what the Pulumi program says of the cluster, the way in, and who changes it now."""
MOST_BYTES = 1 << 20
CHANGE_SECONDS = 2.0
"""Whoever only asks whether the cluster is being changed holds its lock for a moment."""
BEING_MADE = "cluster"
"""Address of a supervisor whose cluster is being made."""


class CloudHome(SupervisorHome):
    """store: of this machine; cloud: aws, gcp or azure.

    What is asked before there is a cluster is answered by this machine's ledger."""

    hung_seconds = RemoteHome.hung_seconds

    def __init__(self, store: Path, cloud: str, fleet_stack: Callable[[Path, str], FleetStack] = FleetStack) -> None:
        self.store, self._cloud, self._fleet_stack = store, cloud, fleet_stack
        self._homes: dict[str, KubernetesHome] = {}

    def cluster(self, run_id: str) -> KubernetesHome | None:
        """The home in the run's cluster; None where it has none."""
        folder = self.store / "runs" / run_id
        if not (folder / KUBECONFIG).exists():
            self._homes.pop(run_id, None)
            return None
        if run_id not in self._homes:
            fleet = read_fleet(folder / FLEET)
            api = Kubernetes(fleet.cluster, namespace=fleet.namespace, kubeconfig=str(folder / KUBECONFIG))
            self._homes[run_id] = KubernetesHome(self.store, PodShell(api, storage_class=fleet.storage_class), api)
        return self._homes[run_id]

    @contextlib.contextmanager
    def changing(self, run_id: str) -> Iterator[None]:
        """Be the only one who makes or removes the run's cluster.  Raises LockHeldError where another one does."""
        try:
            with self._lock(run_id, seconds=CHANGE_SECONDS):
                yield
        except Timeout:
            raise LockHeldError(
                f"another command makes or removes the cluster of {run_id}", hint="it ends that by itself; then again"
            ) from None

    def is_changing(self, run_id: str) -> bool:
        """Whether its cluster is being made or removed now."""
        try:
            with self._lock(run_id):
                return False
        except Timeout:
            return True

    def know(self, run_id: str, fleet: FleetOutputs) -> None:
        """From now on the run has this cluster."""
        folder = self.store / "runs" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        replace_whole(folder / FLEET, fleet.model_dump_json(indent=2).encode())
        replace_whole(folder / KUBECONFIG, kubeconfig(fleet).encode())
        (folder / KUBECONFIG).chmod(0o600)
        self._homes.pop(run_id, None)

    def tell_fleet(self, run_id: str) -> None:
        """The run's supervisor reads what its cluster has when its plan is another.  Raises Unreachable."""
        if (home := self.cluster(run_id)) is not None:
            fleet = read_fleet(self.store / "runs" / run_id / FLEET)
            home.shell.write(f"{ROOT}/runs/{run_id}/{FLEET}", fleet.model_dump_json().encode())

    def forget(self, run_id: str) -> None:
        """It has none any more."""
        (self.store / "runs" / run_id / KUBECONFIG).unlink(missing_ok=True)
        self._homes.pop(run_id, None)

    def start(self, ledger: Ledger, run: RunRef, environment: Mapping[str, str]) -> str:
        """In its cluster.  Raises Unreachable while there is none: only `up` makes it."""
        home = self.cluster(run.run_id)
        if home is None or self.is_changing(run.run_id):
            raise Unreachable(f"{run.run_id} has no cluster yet", hint=f"`clusterctl up {run.run_id}` goes on with it")
        self.tell_fleet(run.run_id)
        return home.start(ledger, run, environment)

    def find(self, run_id: str) -> Sequence[str]:
        """Also one whose cluster is being made."""
        home = self.cluster(run_id)
        if home is None:
            return [BEING_MADE] if self.is_changing(run_id) else []
        return home.find(run_id)

    def age_seconds(self, address: str) -> float:
        """One whose cluster is being made is as new as can be."""
        return max((home.age_seconds(address) for home in self._homes.values()), default=0.0)

    def alive(self, address: str) -> bool:  # noqa: ARG002 - what becomes of it is seen later
        """Whether its scheduler has taken it."""
        return True

    def end(self, address: str) -> None:
        """By its scheduler."""
        for home in self._homes.values():
            home.end(address)

    def noted_seconds(self, run_id: str) -> float | None:
        """Nothing, before there is a cluster."""
        home = self.cluster(run_id)
        return None if home is None else home.noted_seconds(run_id)

    def watches(self, ledger: Ledger, run_id: str) -> bool:
        """Whether it has a supervisor, or its cluster is being made or removed."""
        home = self.cluster(run_id)
        return self.is_changing(run_id) or (home is not None and home.watches(ledger, run_id))

    def beat_seconds(self, beat: Beat) -> float:
        """By the clock of the place, as its last answer showed it."""
        return min((home.beat_seconds(beat) for home in self._homes.values()), default=seconds_since(beat))

    def may_take_over(self, ledger: Ledger, run_id: str) -> AbstractContextManager[object]:
        """A run without a cluster has no machines: what is left to do is done here."""
        home = self.cluster(run_id)
        return self.changing(run_id) if home is None else home.may_take_over(ledger, run_id)

    def wish(self, ledger: Ledger, run: RunRef, wish: Wish) -> None:
        """To its supervisor, else into the ledger here."""
        if (home := self.cluster(run.run_id)) is not None:
            home.wish(ledger, run, wish)
        else:
            heed(ledger, run.run_id, wish, at=SteadyClock(last_beat(ledger.get_run(run.run_id))).now())

    def pull(self, ledger: Ledger, run: RunRef, *, logs: bool = False, anew: bool = False) -> None:
        """From its cluster, where it has one."""
        if (home := self.cluster(run.run_id)) is not None and not self.is_changing(run.run_id):
            home.pull(ledger, run, logs=logs, anew=anew)
            names = {result_name(run.plan, stage.name) for stage in run.plan.stages} if logs else ()
            for name in names:  # with its cluster the volume goes
                if (content := home.shell.read(f"{ROOT}/runs/{run.run_id}/{name}")) is not None:
                    replace_whole(run.folder / name, content)

    def adopt(self, ledger: Ledger, run_id: str) -> bool:
        """Where this user's state of Pulumi knows its cluster."""
        if self.cluster(run_id) is None:
            try:
                fleet = self._fleet_stack(self.store, run_id).outputs()
            except SpecError:  # no Pulumi here: none of its states either
                return False
            if fleet is not None and fleet.cloud == self._cloud:
                self.know(run_id, fleet)
        home = self.cluster(run_id)
        return home is not None and home.adopt(ledger, run_id)

    def looked(self, run_id: str) -> Looked | None:
        """As the last look has noted it; before there is a cluster, what the run waits for."""
        if (home := self.cluster(run_id)) is not None:
            return home.looked(run_id)
        if self.is_changing(run_id):
            return None
        on = f"`clusterctl up {run_id}` goes on, `clusterctl down {run_id}` removes what is there"
        return Looked(supervisor=f"its cluster is not complete, and nobody makes it: {on}")

    def has_folder(self, run: RunRef) -> bool:
        """With its cluster all that was on its volume is gone, checkpoints in its bucket too."""
        home = self.cluster(run.run_id)
        return run.folder.is_dir() if home is None else home.has_folder(run)

    def give(self, ledger: Ledger, run_id: str) -> None:
        """To its cluster."""
        if (home := self.cluster(run_id)) is not None:
            home.give(ledger, run_id)

    def _lock(self, run_id: str, *, seconds: float = 0.0) -> FileLock:
        folder = self.store / "runs" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / LOCK, timeout=seconds)


def read_fleet(file: Path) -> FleetOutputs:
    """What the Pulumi program said of a cluster.  Raises StateError."""
    try:
        return FleetOutputs.model_validate_json(read_limited(file, MOST_BYTES))
    except OSError as error:
        raise StateError(f"{file} can't be read: {error.strerror}", hint="`clusterctl up` writes it again") from error
    except ValidationError as error:
        raise StateError(f"{file} does not say which cluster the run has: {error.errors()[0]['msg']}") from error


def kubeconfig(fleet: FleetOutputs) -> str:
    """The way into a cluster by the cloud's own credentials, which are asked for at each call and kept nowhere."""
    command, *words = token_command(fleet.cloud, fleet.region)
    login = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command,
        "args": [*words, fleet.cluster],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }
    address = fleet.endpoint if "://" in fleet.endpoint else f"https://{fleet.endpoint}"
    name, cluster = fleet.cluster, {"server": address}
    cluster |= {"certificate-authority-data": fleet.certificate} if fleet.certificate else {}
    context = {"cluster": name, "user": name, "namespace": fleet.namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"exec": login}}],
        "contexts": [{"name": name, "context": context}],
    }
    return json_text(config, indent=2)  # which is YAML, too


def token_command(cloud: str, region: str) -> list[str]:
    """Prints a credential for the API of the cluster whose name is added."""
    return [sys.executable, "-P", "-m", "clusterctl.clouds.cluster_token", cloud, region]
