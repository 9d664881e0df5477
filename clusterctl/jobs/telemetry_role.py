"""The agent of a run's node: `python -m clusterctl.jobs.telemetry_role PORT TOKEN_FILE STORE` measures until ended."""

from __future__ import annotations

import os
import socket
import sys

from clusterctl.telemetry.settings import AgentSettings


def main() -> None:
    """Becomes the agent.  Sandboxes to ask are those that CLUSTERCTL_SANDBOXES names, joined by commas."""
    port, token_file, store = sys.argv[1:4]
    settings = AgentSettings(
        store=store,
        node=socket.gethostname(),
        listen=f"127.0.0.1:{port}",
        sandboxes=tuple(filter(None, os.environ.get("CLUSTERCTL_SANDBOXES", "").split(","))),
        sandbox_token_file=token_file,
    )
    command = settings.command()
    os.execv(command[0], command)  # noqa: S606 - the agent takes this process's place, and its signals


if __name__ == "__main__":
    main()
