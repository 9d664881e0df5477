"""The action on a pull request of a local repository: real git, the real command, and a server as GitHub's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from action_steps import REPO, ActionRun, run_action
from code_hosts import TOKEN, LocalCodeHost, LocalGitHub, serving

from clusterctl.review.post.marker import Marker, parse_marker

SPEC = REPO / "templates" / "specs" / "humaneval.yaml"
COMMAND = Path(sys.executable).parent / "clusterctl"


@dataclass
class LocalPull:
    """A checkout as actions/checkout leaves it, with the event that began the run."""

    checkout: Path
    temp: Path
    host: LocalCodeHost
    event: dict[str, Any]

    def run(self, **inputs: str) -> ActionRun:
        """The action, as the runner starts it."""
        event = self.temp / "event.json"
        event.write_text(json.dumps(self.event), encoding="utf-8")
        (self.temp / "summary.md").unlink(missing_ok=True)
        environment = {
            "GITHUB_API_URL": self.host.url,
            "GITHUB_REPOSITORY": "acme/fleet",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
        }
        github = {"event": self.event, "token": TOKEN}
        return run_action(self.checkout, self.temp, {"command": str(COMMAND), **inputs}, github, environment)


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def pull(tmp_path: Path) -> Iterator[LocalPull]:
    checkout, temp = tmp_path / "checkout", tmp_path / "temp"
    (checkout / "runs").mkdir(parents=True)
    temp.mkdir()
    git(checkout, "init", "--quiet", "--initial-branch", "main")
    spec = checkout / "runs" / "evaluate.yaml"
    text = SPEC.read_text(encoding="utf-8")
    spec.write_text(text, encoding="utf-8")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "a run")
    base = git(checkout, "rev-parse", "HEAD")
    changed = text.replace("samples: 200 ", "samples: 400 ")
    assert changed != text
    spec.write_text(changed, encoding="utf-8")
    git(checkout, "commit", "--quiet", "-am", "more samples")
    head = git(checkout, "rev-parse", "HEAD")
    home = {"id": 1, "full_name": "acme/fleet"}
    event = {"pull_request": {"number": 7, "base": {"sha": base, "repo": home}, "head": {"sha": head, "repo": home}}}
    with serving(LocalGitHub()) as host:
        host.head = head
        yield LocalPull(checkout, temp, host, event)


def test_the_action_comments_updates_and_leaves_a_newer_review(pull: LocalPull) -> None:
    done = pull.run()
    assert done.exit_code == 0, done.log
    (comment,) = pull.host.mine()
    marker = parse_marker(comment.body)
    assert marker is not None
    assert (marker.id, marker.head) == ("review", pull.host.head)
    assert "runs/evaluate.yaml" in comment.body
    assert "$" in comment.body
    assert comment.body.partition("\n")[2].strip() in (pull.temp / "summary.md").read_text(encoding="utf-8")
    assert "runs/evaluate.yaml" in Path(done.outputs["report"]).read_text(encoding="utf-8")
    assert json.loads(Path(done.outputs["sarif"]).read_text(encoding="utf-8"))["version"] == "2.1.0"
    assert TOKEN not in done.log

    asked = len(pull.host.writes())
    assert "says this already" in pull.run().log
    assert len(pull.host.writes()) == asked

    newer = Marker(id="review", valid_at=marker.valid_at + timedelta(days=1), head=pull.host.head)
    comment.body = f"{newer.line()}\n\n# newer\n"
    assert "newer run stays" in pull.run(mode="delete-and-new").log
    assert "# newer" in comment.body


def test_the_pull_request_of_a_fork_is_reviewed_without_a_comment(pull: LocalPull) -> None:
    pull.host.fork, pull.host.can_write = True, False
    pull.event["pull_request"]["head"]["repo"] = {"id": 2, "full_name": "somebody/fleet"}
    done = pull.run()
    assert done.exit_code == 0, done.log
    assert "can only read" in done.log
    assert pull.host.comments == []
    assert "runs/evaluate.yaml" in (pull.temp / "summary.md").read_text(encoding="utf-8")
    assert Path(done.outputs["report"]).exists()


def test_an_api_that_refuses_the_token_fails_the_step_with_one_message(pull: LocalPull) -> None:
    done = pull.run(token="wrong")
    assert done.exit_code == 1
    assert done.outputs["exit-code"] == "1"
    assert "Bad credentials" in done.log
    assert "Traceback" not in done.log
    assert Path(done.outputs["report"]).exists()
