"""Acts on the stack of a plan, on the real engine: `python stack.py ACT FOLDER PLAN [SETTING=VALUE ...]`, in an environment with Pulumi.

ACT: up, preview, refresh, destroy.  FOLDER holds state, home and cloud.  Prints what has changed, and the outputs, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from pulumi import automation  # noqa: E402 - found by the path above

from infra.provision import program  # noqa: E402


def main() -> None:
    """See above."""
    act, folder, plan = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    (folder / "state").mkdir(parents=True, exist_ok=True)
    settings = {"plan": plan, "owner": "ledger-1", **dict(pair.split("=", 1) for pair in sys.argv[4:])}
    options = automation.LocalWorkspaceOptions(
        project_settings=automation.ProjectSettings(
            name="clusterctl", runtime="python", backend=automation.ProjectBackend(url=f"file://{folder}/state")
        ),
        pulumi_home=str(folder / "home"),
        env_vars={"PULUMI_CONFIG_PASSPHRASE": "a passphrase", "PULUMI_SKIP_UPDATE_CHECK": "true", **os.environ},
    )
    stack = automation.create_or_select_stack("rlcef-123456", "clusterctl", program, opts=options)
    for name, value in settings.items():
        stack.set_config(f"clusterctl:{name}", automation.ConfigValue(value))
    done = getattr(stack, act)(color="never", on_output=sys.stderr.write)
    changes = done.change_summary if act == "preview" else done.summary.resource_changes
    outputs = {name: value.value for name, value in stack.outputs().items()}
    json.dump({"changes": {str(getattr(k, "value", k)): v for k, v in changes.items()}, "outputs": outputs}, sys.stdout)


main()
