"""Which files of a change are run specs and plan files, and what a change reaches through the files that specs read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from git_repository import Repository, git, new_repository, spec

from clusterctl.errors import ClusterctlError
from clusterctl.review import changed
from clusterctl.review.changed import ChangedSpec, changed_specs
from clusterctl.review.checkout import open_checkout

OTHERS = {
    "gitlab.yml": "stages: [build, test]\njob: {script: make}\n",
    "azure.yml": "stages:\n- stage: build\n  jobs: []\n",
    "dvc.yaml": "stages:\n  train: {cmd: python train.py}\n",
    "pod.yaml": "kind: Pod\nmetadata: {name: x}\n",
    "data.json": '{"stages": 3}\n',
    "broken.yaml": "a: [\n",
}
"""What other programs have, some with `stages` of their own."""


def found(folder: Path, within: Sequence[str] = (), *, head: str | None = None) -> tuple[dict[str, ChangedSpec], str]:
    """By name, and the notes."""
    with open_checkout(folder, "main", head) as checkout:
        specs, notes = changed_specs(checkout, within)
    return {spec.path: spec for spec in specs}, "\n".join(notes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A working tree with every kind of change since main."""
    made = new_repository(tmp_path_factory.mktemp("changed") / "r")
    measured = spec("measured").replace("{mean: 120}", "{file: ../data/lengths.csv}")
    made.write(
        kept=spec("kept"), edited=spec("edited"), gone=spec("gone"), moved=spec("moved"), broken_spec=spec("x"),
        runs__measured=measured, runs__shaped=spec("shaped", model="../models/tiny"), runs__other=spec("other"),
        outside=spec("outside", model="../../etc/passwd.json"), became=spec("became"),
    )  # fmt: skip
    made.put("data/lengths.csv", "100\n200\n")
    made.put("models/tiny/config.json", "{}")
    made.put("models/unused.json", "{}")
    for name, text in OTHERS.items():
        made.put(name, text)
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    made.write(edited=spec("edited", samples=9), broken_spec="name: x\nstages: [\n", became="kind: Pod\n")
    (made.root / "gone.yaml").unlink()
    git(made.root, "mv", "moved.yaml", "elsewhere.yml")
    made.put("elsewhere.yml", spec("moved", samples=9))
    made.put("spec-in.json", '{"name": "j", "stages": [{"kind": "sft"}]}')
    made.put("plan.json", '{"schema_name": "clusterctl.plan/1", "id": "x"}')
    made.put("data/lengths.csv", "100\n300\n")
    made.put("models/tiny/config.json", '{"a": 1}')
    made.put("models/unused.json", '{"a": 1}')
    for name, text in OTHERS.items():
        made.put(name, text + "\n")
    (made.root / "link.yaml").symlink_to("/etc/passwd")
    git(made.root, "add", "-A")
    made.write(untracked=spec("untracked"))
    return made


def test_specs_are_known_by_what_they_say(made: Repository) -> None:
    specs, notes = found(made.root)
    assert {name: spec.status for name, spec in specs.items()} == {
        "edited.yaml": "changed",
        "broken_spec.yaml": "changed",
        "became.yaml": "changed",
        "gone.yaml": "removed",
        "elsewhere.yml": "renamed",
        "spec-in.json": "added",
        "plan.json": "added",
        "runs/measured.yaml": "affected",
        "runs/shaped.yaml": "affected",
    }
    assert specs["runs/measured.yaml"].reached_by == ("data/lengths.csv",)
    assert specs["runs/shaped.yaml"].reached_by == ("models/tiny/config.json",)
    broken = specs["broken_spec.yaml"].head
    assert broken is not None
    assert "is not YAML" in str(broken.problem)
    assert "link.yaml is a symbolic link, which a review does not follow" in notes
    assert "untracked.yaml is not compared, since git does not track it: `git add` it" in notes


def test_paths_limit_what_is_compared(made: Repository) -> None:
    assert set(found(made.root, ["runs"])[0]) == {"runs/measured.yaml", "runs/shaped.yaml"}
    assert set(found(made.root, ["edited.yaml", "plan.json"])[0]) == {"edited.yaml", "plan.json"}
    assert set(found(made.root, ["untracked.yaml"])[0]) == set()
    with pytest.raises(ClusterctlError, match="neither end has a file or folder of this name"):
        found(made.root, ["runz"])


def test_two_commits_are_compared_without_looking_at_the_working_tree(made: Repository) -> None:
    assert found(made.root, head="HEAD") == ({}, "")


def test_names_can_be_anything(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "r")
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    names = [b"caf\xe9.yaml", b"two\nlines.yaml", b"\x1b[31mred.yaml", b"-rf.yaml", b"a|b`c.yaml", b" .yaml"]
    for name in names:
        made.put(name, spec("n"))
    git(made.root, "add", "-A")
    specs, _ = found(made.root)
    assert set(specs) == {os.fsdecode(name) for name in names}


def test_what_is_too_large_is_said(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "r")
    made.write(a=spec("a"))
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    made.put("a.yaml", spec("a") + "#" * (1 << 20))
    made.put("new.yaml", "#" * (1 << 21))
    made.commit()
    specs, notes = found(made.root, head="HEAD")
    assert list(specs) == ["a.yaml"]
    assert specs["a.yaml"].head is not None
    assert "is larger than" in str(specs["a.yaml"].head.problem)
    assert "new.yaml: not looked at: it is larger than" in notes


def test_a_submodule_is_named_and_left_alone(tmp_path: Path) -> None:
    inner = new_repository(tmp_path / "inner")
    inner.write(a=spec("a"))
    commit = inner.commit()
    made = new_repository(tmp_path / "r")
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    git(made.root, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    git(made.root, "commit", "-q", "-m", "sub")
    assert found(made.root, head="HEAD") == ({}, "sub is a submodule: its files are not compared")


def test_more_specs_than_a_review_takes_are_refused(made: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed, "MAX_SPECS", 3)
    with pytest.raises(ClusterctlError, match="9 run specs and plan files changed; a review takes 3 at most"):
        found(made.root)


def test_many_removed_and_added_files_are_matched_by_equal_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed, "MAX_PAIRS", 3)
    made = new_repository(tmp_path / "r")
    made.write(a=spec("a"), b=spec("b"))
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    git(made.root, "mv", "a.yaml", "c.yaml")
    git(made.root, "mv", "b.yaml", "d.yaml")
    made.write(d=spec("b", samples=9))
    made.commit()
    statuses = {name: spec.status for name, spec in found(made.root, head="HEAD")[0].items()}
    assert statuses == {"c.yaml": "renamed", "b.yaml": "removed", "d.yaml": "added"}
