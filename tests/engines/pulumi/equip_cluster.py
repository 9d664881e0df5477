"""Puts what a run finds in its cluster into a cluster that is there: `python equip_cluster.py ACT FOLDER PLAN`, in an environment with Pulumi.

ACT: up, refresh, destroy.  FOLDER holds way_in.json (endpoint, certificate, token_command), and the state.  Prints what has changed as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from pulumi import automation  # noqa: E402 - found by the path above

from infra.in_cluster import equip  # noqa: E402
from infra.made import Made  # noqa: E402
from infra.node_fleet import FleetSettings, fleet_of  # noqa: E402
from planners.plan.value import Plan  # noqa: E402


def main() -> None:
    """See above."""
    act, folder, plan_file = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    (folder / "state").mkdir(exist_ok=True)
    plan = Plan.model_validate_json(plan_file.read_bytes())
    fleet = fleet_of(plan, run="rlcef-123456", settings=FleetSettings(nodes="supervisor", images=("python:3.12",)))

    def program() -> None:
        made = Made(
            **json.loads((folder / "way_in.json").read_text()),
            cluster="mine",
            bucket="b",
            account="a",
            zone="z",
            groups={},
            sandbox_class={"handler": "runsc"},
            device_plugins=("nvidia", "efa"),
            storage_class={"provisioner": "efs.csi.aws.com", "parameters": {"fileSystemId": "fs-1"}},
            supervisor_note={"azure.workload.identity/client-id": "c"},
        )
        equip(fleet, made)

    options = automation.LocalWorkspaceOptions(
        project_settings=automation.ProjectSettings(
            name="cluster", runtime="python", backend=automation.ProjectBackend(url=f"file://{folder}/state")
        ),
        pulumi_home=str(folder / "home"),
        env_vars={"PULUMI_CONFIG_PASSPHRASE": "a passphrase", "PULUMI_SKIP_UPDATE_CHECK": "true", **os.environ},
    )
    stack = automation.create_or_select_stack("rlcef-123456", "cluster", program, opts=options)
    done = getattr(stack, act)(color="never", on_output=sys.stderr.write)
    print(json.dumps({str(getattr(kind, "value", kind)): n for kind, n in done.summary.resource_changes.items()}))


main()
