"""The GitHub Action whole: it installs clusterctl from its own checkout into a new virtual environment, and reviews."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests" / "clusterctl" / "review")]


def test_the_action_installs_what_it_runs(tmp_path: Path) -> None:
    from action_steps import run_action

    checkout, temp = tmp_path / "checkout", tmp_path / "temp"
    checkout.mkdir()
    temp.mkdir()
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "empty"]):
        who = ["-c", "user.name=someone", "-c", "user.email=someone@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=checkout, check=True)
    for name in ("venv.py", "pip.py", "json.py"):  # would be run if Python started in the checkout
        (checkout / name).write_text("raise SystemExit('run from the checkout')\n", encoding="utf-8")
    index = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP", "http"))}
    done = run_action(checkout, temp, {"post": "false", "base": "HEAD"}, {}, index)
    assert done.exit_code == 0, done.log
    assert "run from the checkout" not in done.log
    assert (temp / "clusterctl-venv" / "bin" / "clusterctl").exists()
    assert Path(done.outputs["report"]).read_text(encoding="utf-8").startswith("<!-- clusterctl:review v=1 ")
