"""What an engine or a command that is killed leaves half written: removed or passed over; what is whole stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.automation import half_written
from infra.automation.journal import Journal


def test_what_is_half_written_goes_and_what_is_whole_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_written, "WRITE_SECONDS", 0.0)
    texts = {
        "home/workspaces/a-workspace.json": "",
        "home/workspaces/b-workspace.json": '{"stack": "rl-1"}',
        "a state/.pulumi/meta.yaml": "version: 1\n",
        "a state/.pulumi/meta.yaml.attrs": '{"md5":',
        "a state/.pulumi/stacks/clusterctl/rl-1.json": "{}",
        "a state/.pulumi/stacks/clusterctl/rl-1.json.attrs": "",
        "a state/.pulumi/stacks/clusterctl/rl-1.json.bak.attrs": "{}",
        "a state/.pulumi/stacks/clusterctl/rl-2.json.attrs": "",
        "a state/.pulumi/locks/organization/clusterctl/rl-1/a.json.18c.tmp": '{"pid"',
        "a state/.pulumi/locks/organization/clusterctl/rl-1/b.json": '{"pid": 1}',
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    request = {"project": "clusterctl", "stack": "rl-1", "home": str(tmp_path / "home")}
    assert len(half_written.remove_half_written({**request, "backend": "s3://states"})) == 1
    half_written.remove_half_written({**request, "backend": (tmp_path / "a state").as_uri()})
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    cut = ("workspaces/a", "meta.yaml.attrs", "rl-1.json.attrs", "18c.tmp")
    assert left == {name for name in texts if not any(word in name for word in cut)}


def test_a_line_of_the_journal_that_was_cut_costs_no_other_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep({"urn": "a", "type": "aws:ec2/vpc:Vpc"})
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write(json.dumps({"begun": {"urn": "b"}})[:9])
    journal.keep({"urn": "c"}, at=7.0)
    journal.keep({"urn": "d"})
    journal.done("d")
    assert (list(journal.unfinished()), journal.unfinished()["c"]["at"]) == (["a", "c"], 7.0)
