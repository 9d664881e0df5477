"""Runs harnesses, no isolation: `python sandbox_worker.py` reads code as JSON lines and writes what it prints likewise.

A process of one thread, as a sandbox's: with numpy's threads beside it, the harness's timer signal may go to one of
them, and Python then doesn't look at it.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys


def run_code(code: str) -> str:
    """What the code prints; it may end itself."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        exec(compile(code, "harness", "exec"), {})
    return printed.getvalue()


if __name__ == "__main__":
    for line in sys.stdin:
        answer = run_code(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
