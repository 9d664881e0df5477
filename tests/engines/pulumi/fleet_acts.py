"""One act on a run's own cluster, in a process that can be killed: `python fleet_acts.py up|down|supervise STORE RUN`.

`up` and `down` are what the commands of these names do to the cluster; `supervise` is the run's supervisor, which sees
no pod and no node of Kubernetes and asks the cloud for machines by the cloud's own API.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1] / "clusterctl" / "targets")]

from clusterctl.fleet import stack  # noqa: E402 - found by the path above
from clusterctl.ledger import open_ledger  # noqa: E402
from clusterctl.runs import own_cluster  # noqa: E402
from clusterctl.runs.run import OpenRun, open_run  # noqa: E402
from clusterctl.runs.watch import Watch  # noqa: E402
from clusterctl.targets import cloud, cloud_cluster, cloud_pools, kubernetes, slurm  # noqa: E402
from clusterctl.targets.base import ClusterPreview, Standing  # noqa: E402
from clusterctl.targets.home import ThisMachine  # noqa: E402

STANDING = "standing.json"
"""In the store: what stands of the run's cluster, as the first preview said it.  A preview takes as long as a kill."""
stack.SETTLE_SECONDS = 3.0
cloud_pools.LOOK_SECONDS = 0.5


def remembered(preview: Any) -> Any:
    """A preview that the engine is asked for once."""

    def from_file(
        self: cloud_cluster.CloudCluster, run_id: str, plan: Any, earlier: Sequence[Any] = ()
    ) -> ClusterPreview:
        if not (file := self._store / STANDING).exists():
            rows = [asdict(each) for each in preview(self, run_id, plan, earlier).standing]
            (new := file.with_suffix(".part")).write_text(json.dumps(rows))
            new.rename(file)
        rows = json.loads(file.read_text())
        return ClusterPreview(standing=tuple(Standing(**row) for row in rows), lines=(), steps=())

    return from_file


class Cluster:
    """What the supervisor sees of Kubernetes: no pod, no node."""

    name = "this cluster"

    def items(self, *_: object, **__: object) -> list[dict[str, Any]]:
        return []

    pages = items


def supervised(run: OpenRun) -> OpenRun:
    """The run as its supervisor in the cluster has it."""
    from recorded_sky import Sky
    from test_cloud_target import NoPods

    (name := run.folder.path / "namespace").write_text("clusterctl")
    for module in (cloud, kubernetes, slurm):
        module.in_place = lambda: True
    kubernetes.NAMESPACE_FILE = name
    kubernetes.KubernetesTarget.skypilot = lambda *_: Sky()  # type: ignore[method-assign, assignment]
    Sky.end_family = lambda self: None  # type: ignore[attr-defined]
    NoPods.now = lambda self: time.time()  # type: ignore[method-assign]
    target = cloud.CloudTarget(run.folder.path.parents[1], run.plan.pools[0].cloud, api=Cluster())  # type: ignore[arg-type]
    target.place.shell = NoPods()
    target.home = ThisMachine(run.folder.path.parents[1])
    return replace(run, target=target)


def main() -> None:
    """See above."""
    act, store, run_id = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    cloud_cluster.CloudCluster.preview = remembered(cloud_cluster.CloudCluster.preview)  # type: ignore[method-assign]
    with open_ledger(str(store / "ledger.db")) as ledger:
        run = open_run(ledger, store, run_id)
        if act == "supervise":
            watch = Watch(supervised(run))
            while watch.tick():
                time.sleep(0.1)
            return
        change = own_cluster.make_cluster if act == "up" else own_cluster.remove_cluster
        change(run, lambda event: print(event.kind, event.op, event.type, event.name, event.message, flush=True))


main()
