"""Planted secrets are found nowhere: not in the ledger, logs, plans, results, marks, nor in any process's arguments."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from kill_harness import ThisMachine

from clusterctl.targets.processes import kill, tagged

Run = Callable[..., subprocess.CompletedProcess[str]]
SECRET = "pl4nted-s3cret"
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": f"{SECRET}-aws",
    "HF_TOKEN": f"{SECRET}-hf",
    "WANDB_API_KEY": f"{SECRET}-wandb",
    "GOOGLE_APPLICATION_CREDENTIALS": "token.json",
    "PGPASSWORD": f"{SECRET}-pg",
    "MY_OWN_PASSWORD": f"{SECRET}-own",
}


def test_no_secret_is_kept_or_shown(clusterctl: Run, in_process: Run, tmp_path: Path) -> None:
    home = tmp_path / ".local" / "share" / "clusterctl"
    (tmp_path / "killed.yaml").write_text(ThisMachine.spec, encoding="utf-8")
    (tmp_path / "token.json").write_text(f'{{"token": "{SECRET}-file"}}', encoding="utf-8")
    (tmp_path / ".pgpass").write_text(f"*:*:*:*:{SECRET}-pgpass", encoding="utf-8")
    # SQLite takes a password in its URL and ignores it: whatever shows the URL shows the secret
    url = f"sqlite:///{home}/ledger.db?password={SECRET}-url"
    environment = ENVIRONMENT | {"CLUSTERCTL_LEDGER": url}
    said = [clusterctl("up", "killed.yaml", "--yes", "--detach", **environment)]
    try:
        arguments, of_roles = watch_processes(home, seconds=3.0)
        for command in (
            ("status",),
            ("status", "--json"),
            ("logs", "killed"),
            ("events", "killed"),
            ("down", "--yes", "killed"),
            ("cost", "killed", "--json"),
            ("sweep", "--json"),
        ):
            said.append(in_process("--verbose", *command, **environment))
    finally:
        for process in tagged(home):
            kill(process)
    asked_in_vain = 8  # of sweep: no cloud knows these credentials
    assert [done.returncode for done in said] == [*[0] * (len(said) - 1), asked_in_vain], said
    assert arguments
    assert of_roles
    assert SECRET not in "".join(done.stdout + done.stderr for done in said)
    assert SECRET not in arguments
    assert SECRET not in of_roles, "a role inherits what it needs and no credential"
    files = [file for file in home.rglob("*") if file.is_file()]
    assert {"ledger.db", "plan.json", "trainer.log", "supervisor.log", "reports.jsonl"} <= {file.name for file in files}
    assert [file for file in files if SECRET.encode() in file.read_bytes()] == []


def watch_processes(home: Path, *, seconds: float) -> tuple[str, str]:
    """Command lines of all processes of the machine, and the environment of the run's roles, for a while, until its job
    has reported."""
    arguments, environments = "", ""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or not environments or not list(home.glob("runs/*/reports.jsonl")):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                arguments += (process / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
        for tags in tagged(home):
            if tags.tags.get("CLUSTERCTL_ROLE") in ("trainer", "sandbox"):
                environments += Path(f"/proc/{tags.pid}/environ").read_text("utf-8", errors="replace")
        time.sleep(0.3)
    return arguments, environments
