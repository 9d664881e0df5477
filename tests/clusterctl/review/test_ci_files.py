"""The GitHub Action, the workflow of this project and the template for GitLab: valid, and the action's steps run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from action_steps import ACTION, REPO, run_action

WORKFLOW = REPO / ".github" / "workflows" / "review.yml"
GITLAB = REPO / "templates" / "ci" / "gitlab-review.yml"
DOCS = REPO / "docs" / "review-ci.md"
EVENT = {"pull_request": {"number": 7, "base": {"sha": "b" * 40}, "head": {"sha": "a" * 40}}}
RECORDER = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word" >> "$RECORD"; done
while [ $# -gt 0 ]; do [ "$1" != --out ] || echo review > "$2"; shift; done
exit "${RECORDED_EXIT:-0}"
"""


def check_schema(schema: str, file: Path) -> str:
    tool = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [tool, "--builtin-schema", f"vendor.{schema}", str(file)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "file"),
    [("github-actions", REPO / "action.yml"), ("github-workflows", WORKFLOW), ("gitlab-ci", GITLAB)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_files_of_ci_are_valid(schema: str, file: Path, tmp_path: Path) -> None:
    assert check_schema(schema, file) == ""
    broken = tmp_path / file.name
    broken.write_text(
        file.read_text(encoding="utf-8")
        .replace("runs:", "run:")
        .replace("\njobs:", "\njob:")
        .replace("rules:", "rule:")
    )
    assert check_schema(schema, broken)


def test_examples_in_the_docs_are_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    schemas = {
        ".github/workflows/review.yml": "github-workflows",
        ".gitlab-ci.yml": "gitlab-ci",
        "bitbucket-pipelines.yml": "bitbucket-pipelines",
        "azure-pipelines.yml": "azure-pipelines",
    }
    assert {name for name, _ in blocks} == set(schemas)
    for number, (name, text) in enumerate(blocks):
        file = tmp_path / f"{number}.yml"
        file.write_text(text, encoding="utf-8")
        assert check_schema(schemas[name], file) == ""
        for used in re.findall(r"uses: \S+/clusterctl@", text):
            assert used
            step = next(
                s for s in yaml.safe_load(text)["jobs"]["review"]["steps"] if "clusterctl@" in s.get("uses", "")
            )
            assert set(step.get("with", {})) <= set(ACTION["inputs"])


def test_no_expression_is_part_of_a_script() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    steps = [*ACTION["runs"]["steps"], *(step for job in workflow["jobs"].values() for step in job["steps"])]
    assert [step for step in steps if "${{" in step.get("run", "")] == []


def test_the_workflow_asks_for_no_more_than_it_needs_and_pins_what_it_uses() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert workflow[True] == "pull_request"  # YAML 1.1 reads `on` so; never pull_request_target, whose token can write
    for step in workflow["jobs"]["review"]["steps"]:
        assert re.fullmatch(r"\./|[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        assert step["uses"] != "./" or set(step["with"]) <= set(ACTION["inputs"])


def recorded(tmp_path: Path, inputs: dict[str, str], **environment: str) -> tuple[int, list[str], dict[str, str], str]:
    """Exit code, words that `clusterctl` was called with, outputs and log."""
    recorder, record = tmp_path / "recorder", tmp_path / "record"
    recorder.write_text(RECORDER, encoding="utf-8")
    recorder.chmod(0o755)
    record.touch()
    checkout = tmp_path / "checkout"
    checkout.mkdir(exist_ok=True)
    github = {"event": EVENT, "token": "secret-token"}
    done = run_action(
        checkout, tmp_path, {"command": str(recorder), **inputs}, github, {"RECORD": str(record), **environment}
    )
    return done.exit_code, record.read_text(encoding="utf-8").splitlines(), done.outputs, done.log


def test_inputs_become_options(tmp_path: Path) -> None:
    inputs = {"paths": "runs\ntemplates/my specs\n", "preview": "a.json\nb.json", "preview-base": "c.json"}
    code, words, outputs, log = recorded(
        tmp_path, {**inputs, "policies": "policies.yaml", "price-drift": "true", "mode": "new"}
    )
    assert code == 0
    text = " ".join(words)
    assert text.startswith(
        f"review --id review --base {'b' * 40} --head {'a' * 40} --policies policies.yaml --price-drift"
    )
    assert "--preview a.json --preview b.json --preview-base c.json" in text
    assert words[-7:] == ["--post", "github", "--post-mode", "new", "--", "runs", "templates/my specs"]
    assert (outputs["exit-code"], Path(outputs["report"]).read_text(encoding="utf-8")) == ("0", "review\n")
    assert outputs["sarif"] == ""
    assert "secret-token" not in text + log


def test_hostile_inputs_stay_words(tmp_path: Path) -> None:
    hostile = "$(touch pwned)`touch pwned`\"; touch pwned; '#"
    _, words, _, _ = recorded(
        tmp_path, {"paths": f"{hostile}\n--help\n*", "id": hostile, "base": hostile, "preview": hostile}
    )
    assert words.count(hostile) == 4
    assert words[-4:] == ["--", hostile, "--help", "*"]
    assert list(tmp_path.rglob("pwned")) == []


def test_a_checkout_can_not_bring_modules_of_its_own(tmp_path: Path) -> None:
    """Python of the steps starts elsewhere or in safe-path mode, where no file of the checkout shadows a module."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("venv.py", "sys.py", "pip.py", "json.py", "encodings.py", "sitecustomize.py", "clusterctl.py"):
        (checkout / name).write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n", encoding="utf-8")
    command = Path(sys.executable).parent / "clusterctl"
    done = run_action(checkout, tmp_path, {"command": str(command), "post": "false"}, {"event": EVENT}, {})
    assert "Traceback" not in done.log
    assert not (tmp_path / "pwned").exists()
    for step in ACTION["runs"]["steps"]:
        assert step["env"]["PYTHONSAFEPATH"] == "1"
    assert ACTION["runs"]["steps"][0]["run"].splitlines()[1] == 'cd "$RUNNER_TEMP"'


@pytest.mark.parametrize(
    ("ended", "fail_on", "code"),
    [
        (0, "rules,infeasible", 0),
        (1, "none", 1),
        (2, "rules", 2),
        (2, "infeasible", 0),
        (2, "none", 0),
        (3, "rules, infeasible", 3),
        (3, "rules", 0),
        (70, "none", 70),
        (0, "everything", 1),
        (0, "", 1),
    ],
)
def test_fail_on_says_which_exit_code_fails_the_step(tmp_path: Path, ended: int, fail_on: str, code: int) -> None:
    done, words, outputs, log = recorded(tmp_path, {"fail-on": fail_on}, RECORDED_EXIT=str(ended))
    assert done == code
    assert outputs["exit-code"] == (str(ended) if words else "")
    assert ("::error::" in log) == (code != 0)


def test_without_post_nothing_is_posted(tmp_path: Path) -> None:
    _, words, _, _ = recorded(tmp_path, {"post": "false"})
    assert "--post" not in words
