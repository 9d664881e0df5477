"""The agent beside the roles of a node far away: `python -m clusterctl.jobs.telemetry_role RUN_FOLDER` measures until
it is ended.

It writes into the run's folder, from where laptops bring it.  Whose it is stands in its environment, which is that of
the role beside which it was started; a sandbox server beside it is asked what it does.  Of a node that is shared it
measures the GPUs that Slurm has given to the role (CUDA_VISIBLE_DEVICES), also where others can be seen.
"""

from __future__ import annotations

import os
import socket
import sys

from clusterctl.store import RUN_STORE
from clusterctl.telemetry.settings import AgentSettings


def main() -> None:
    """Becomes the agent."""
    folder, seen = sys.argv[1], os.environ.get
    is_sandbox = seen("CLUSTERCTL_ROLE") == "sandbox"
    settings = AgentSettings(
        store=f"{folder}/{RUN_STORE}",
        node=seen("CLUSTERCTL_NODE") or socket.gethostname(),
        listen="127.0.0.1:0",
        sandboxes=(f"http://127.0.0.1:{seen('CLUSTERCTL_PORT_HTTP')}",) if is_sandbox else (),
        sandbox_token_file=f"{seen('CLUSTERCTL_FOLDER')}/sandbox.token" if is_sandbox else None,
        gpus=tuple(filter(None, seen("CUDA_VISIBLE_DEVICES", "").split(","))),
        metrics_files=(f"{folder}/metrics.prom",),
    )
    command = settings.command()
    os.execv(command[0], command)  # noqa: S606 - the agent takes this process's place, and its signals


if __name__ == "__main__":
    main()
