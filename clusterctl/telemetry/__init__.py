"""What runs on a node and what it does, measured by a small agent; and how a job tells it what it is doing.

`from clusterctl.telemetry import phase` imports nothing else, so that any job can.
"""

from __future__ import annotations

import contextlib
import os
import socket

PHASES_VARIABLE = "CLUSTERCTL_PHASES"
"""Path of the agent's socket; without it `phase` does nothing."""


def phase(name: str) -> None:
    """Say what this process does from now on: `phase("generate")`.  Never fails, never waits, costs microseconds.

    One datagram, `NAME [RUN [ROLE]]`, which any language can send; names as in plans: generate, sandbox, train,
    weight sync.  It is what tells the reason when a GPU idles.
    """
    with contextlib.suppress(Exception):
        path = os.environ.get(PHASES_VARIABLE)
        if path:
            words = [
                str(name).replace(" ", "_"),
                os.environ.get("CLUSTERCTL_RUN", ""),
                os.environ.get("CLUSTERCTL_ROLE", ""),
            ]
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_agent:
                to_agent.setblocking(False)
                to_agent.sendto(" ".join(words).encode(), path)
