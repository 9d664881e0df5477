"""Measuring a node; and the two calls by which a job reports its phase and what it has used.

`from clusterctl.telemetry import phase, report_cost` imports nothing else, so that any job can call them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from datetime import UTC, datetime

PHASES_VARIABLE = "CLUSTERCTL_PHASES"
"""Path of the agent's socket; without it `phase` does nothing."""
REPORTS_VARIABLE = "CLUSTERCTL_REPORTS"
"""Path of the run's reports; without it `report_cost` does nothing."""


def phase(name: str) -> None:
    """Report the phase that this process is in: `phase("generate")`.  Never fails, never waits, costs microseconds.

    Sends one datagram, `NAME [RUN [ROLE]]`, which any language can; names as in plans: generate, sandbox, train,
    weight sync.  The agent works out from it why a GPU idles.
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


def report_cost(kind: str, quantity: object, unit: str, **more: object) -> None:
    """Report what was used beside the machine since the last report: `report_cost("tokens", 5200, "output tokens",
    name="gpt-5")`.

    kind: tokens, storage or egress.  more: name, role, provider, source, and usd or usd_per_unit; docs/runs.md says
    what they mean.  A call is a cost of its own, counted once.  Raises OSError where the line can't be written.
    """
    path = os.environ.get(REPORTS_VARIABLE)
    if path:
        role = os.environ.get("CLUSTERCTL_ROLE") or "trainer"
        said = {"cost": kind, "at": datetime.now(UTC).isoformat(), "quantity": quantity, "unit": unit, "role": role}
        line = json.dumps(said | more, default=str).encode() + b"\n"
        with open(path, "ab+", buffering=0) as marks:  # noqa: PTH123 - no import of pathlib
            torn = marks.tell() > 0 and os.pread(marks.fileno(), 1, marks.tell() - 1) != b"\n"
            marks.write(b"\n" * torn + line)
            os.fsync(marks.fileno())
