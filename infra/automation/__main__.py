"""Answers one request (infra/automation/__init__.py), and winds down where whoever asked has gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from typing import Any

MODULES = {"aws": "pulumi_aws", "gcp": "pulumi_gcp", "azure": "pulumi_azure_native"}
"""Cloud → what its part of the program imports."""


def main() -> None:
    """See above.  Exit code 1 where the last line is an error."""
    os.umask(0o077)
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the program or a package prints is no answer
    gate = threading.Lock()

    def say(**line: Any) -> None:
        with (
            gate,
            contextlib.suppress(BrokenPipeError),
        ):  # whoever asked may have died: what is begun is noted all the same
            lines.write(json.dumps(line, default=str) + "\n")
            lines.flush()

    request = json.loads(sys.stdin.readline())
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: None)  # the engine, which gets it too, ends what is in flight
    threading.Thread(target=_wind_down_without_reader, daemon=True).start()
    try:
        from infra.automation.acts import act
    except ModuleNotFoundError as error:
        say(error={"kind": "no_sdk", "text": str(error.name)})
        sys.exit(1)
    os._exit(0 if act(request, say) else 1)  # the thread above waits for stdin, and would hold a usual exit


def _wind_down_without_reader() -> None:
    """Asks the engine to end, as Ctrl-C does, once stdin is closed: what is in flight comes to its end or is noted."""
    while sys.stdin.readline():
        pass
    os.killpg(0, signal.SIGINT)


main()
