"""A supervisor in a place of its own that hangs for a minute is started again there, with no laptop at hand."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from far_world import SPEC, Run, far_place, started, until


def test_a_supervisor_that_hangs_is_started_again(in_process: Run, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(SPEC)
    with far_place(tmp_path) as far:
        home = str(far.laptop(tmp_path / "a"))
        name = started(in_process, Path(home))
        until((far.root / "runs" / name / "reports.jsonl").exists)
        (hangs,) = far.supervisors()
        os.kill(hangs, signal.SIGSTOP)
        until(lambda: far.supervisors() not in ([hangs], []), 120)
        assert hangs not in far.supervisors()
        log = far.root / "runs" / name / "logs" / "supervisor.log"
        assert "gave no sign for a minute" in log.read_text()
        down = in_process("down", name, "--yes", CLUSTERCTL_HOME=home)
        assert down.returncode == 0, down.stderr
        events = json.loads(in_process("events", name, "--json", CLUSTERCTL_HOME=home).stdout)
        assert len([event for event in events if event["kind"] == "launch"]) == 4, "it has taken over what ran"
