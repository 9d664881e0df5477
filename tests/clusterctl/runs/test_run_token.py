"""A run's sandbox serves the run alone: a token in a file that only its user can read, and nowhere else."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from clusterctl.access import without_token
from clusterctl.jobs.quickstart import make_token, quickstart_jobs
from clusterctl.paths import bundle_root
from clusterctl.plan_service import Planner, open_source

SPEC = bundle_root() / "templates" / "specs" / "quickstart.yaml"


def test_only_who_reads_the_runs_token_file_is_served(tmp_path: Path) -> None:
    plan = Planner(now=datetime.now(tz=UTC)).plan(open_source(str(SPEC)))
    make_token(tmp_path)
    jobs = quickstart_jobs(plan, tmp_path, store=tmp_path, port=None)
    (file,) = tmp_path.glob("sandbox.token")
    token = file.read_text("ascii")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(token) > 30
    make_token(tmp_path)
    assert file.read_text("ascii") == token, "another supervisor finds the same token"
    again = quickstart_jobs(plan, tmp_path, store=tmp_path, port=jobs["sandbox"].tags["port"])
    assert again == jobs
    assert sorted(tmp_path.iterdir()) == [file]
    told = json.dumps([(job.command, dict(job.environment), dict(job.tags)) for job in jobs.values()])
    assert token not in told
    assert told.count(str(file)) == len(jobs)
    url = f"http://127.0.0.1:{jobs['sandbox'].tags['port']}/run_code"
    question = {"code": "print(1)", "language": "python"}
    with subprocess.Popen(jobs["sandbox"].command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            assert token not in server.stdout.readline()
            with httpx.Client(trust_env=False, timeout=30) as client:
                for sent, status in (("", 401), ("Bearer x", 401), (f"Bearer {token}", 200)):
                    for _ in range(50):
                        try:
                            answer = client.post(url, json=question, headers={"Authorization": sent} if sent else {})
                            break
                        except httpx.ConnectError:
                            time.sleep(0.1)
                    assert answer.status_code == status
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://any:secret@host:8080/x", "http://host:8080/x"),
        ("http://host:8080", "http://host:8080"),
        ("Client error for url 'http://any:secret@host/run_code'", "Client error for url 'http://host/run_code'"),
    ],
)
def test_a_url_is_shown_without_its_token(url: str, shown: str) -> None:
    assert without_token(url) == shown
