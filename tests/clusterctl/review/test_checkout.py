"""The ends of a change in real repositories, and every state of git that has none: one message with the way on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from git_repository import Repository, git, new_repository, spec

from clusterctl.errors import ClusterctlError
from clusterctl.review.checkout import open_checkout, paths_inside
from clusterctl.review.trees import shown_path


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """main: one, two.  feature, from one: three, four.  island: of no common history."""
    made = new_repository(tmp_path_factory.mktemp("origin") / "made")
    made.write(a=spec("a"), sub__b=spec("b"))
    made.commit("one")
    git(made.root, "checkout", "-q", "-b", "feature")
    made.write(a=spec("a", samples=16))
    made.commit("three")
    made.write(sub__b=spec("b", samples=16))
    made.commit("four")
    git(made.root, "checkout", "-q", "main")
    made.write(c=spec("c"))
    made.commit("two")
    git(made.root, "checkout", "-q", "--orphan", "island")
    made.write(d=spec("d"))
    made.commit("five")
    git(made.root, "checkout", "-q", "feature")
    return made


def refused(folder: Path, base: str = "main", head: str | None = None) -> ClusterctlError:
    with pytest.raises(ClusterctlError) as found, open_checkout(folder, base, head):
        pass
    assert found.value.hint, "each has a way on"
    return found.value


def test_the_base_is_where_the_change_left_its_branch(origin: Repository) -> None:
    with open_checkout(origin.root / "sub", "main", "feature") as checkout:
        assert checkout.base_commit == git(origin.root, "rev-parse", "main~1")
        assert checkout.head_commit == git(origin.root, "rev-parse", "feature")
        assert checkout.root == origin.root
        assert sorted(checkout.base.entries) == ["a.yaml", "sub/b.yaml"], "what main got since is no part of it"
        assert checkout.base.read("a.yaml", 1000) == spec("a").encode()
        assert checkout.head.read("a.yaml", 1000) == spec("a", samples=16).encode()
        assert checkout.base_date.year == 2026


def test_the_working_tree_is_the_head_with_what_is_not_committed(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "r")
    made.write(a=spec("a"), b=spec("b"), gone=spec("gone"))
    made.commit()
    git(made.root, "checkout", "-q", "--detach")
    made.write(a=spec("a", samples=9), new=spec("new"))
    (made.root / "gone.yaml").unlink()
    with open_checkout(made.root, "main", None) as checkout:
        head, base = checkout.head, checkout.base
        assert head.object_id("a.yaml") != base.object_id("a.yaml")
        assert head.object_id("b.yaml") == base.object_id("b.yaml"), "its hash is git's own"
        assert head.object_id("gone.yaml") is None
        assert checkout.untracked == ("new.yaml",)
        with pytest.raises(FileNotFoundError):
            head.read("new.yaml", 100)


def test_a_large_blob_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "r")
    made.put("big.json", b"x" * 5_000_000)
    made.write(a=spec("a"))
    made.commit()
    with open_checkout(made.root, "main", "HEAD") as checkout:
        with pytest.raises(OSError, match="larger than"):
            checkout.head.read("big.json", 1000)
        assert checkout.head.read("a.yaml", 1000) == spec("a").encode()


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        ("nothing", None, "--base nothing: there is no such commit here"),
        ("main", "v1\x1b[31m", "no such commit here"),
        ("--upload-pack=touch x", None, "is no revision"),
        ("main", "-x", "is no revision"),
        ("main:a.yaml", None, "no such commit here"),
        ("island", "main", "island and main have no commit in common"),
    ],
)
def test_revisions_that_give_no_base(origin: Repository, base: str, head: str | None, said: str) -> None:
    error = refused(origin.root, base, head)
    assert said in error.message
    assert "\x1b" not in error.message


def test_a_branch_that_only_the_remote_has_is_suggested(origin: Repository, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--branch", "feature", str(origin.root), "clone")
    error = refused(tmp_path / "clone")
    assert error.hint == "did you mean `--base origin/main`?"


def test_a_shallow_clone_says_how_to_deepen(origin: Repository, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", "--no-single-branch", f"file://{origin.root}", "clone")
    error = refused(tmp_path / "clone", "origin/main", "origin/feature")
    assert "is not in this shallow clone" in error.message
    assert "fetch-depth: 0" in str(error.hint)
    assert "--deepen" in str(error.hint)
    unknown = refused(tmp_path / "clone", git(origin.root, "rev-parse", "main~1"))
    assert "shallow clone" in str(unknown.hint)


def test_no_repository_no_commit_no_checkout(tmp_path: Path) -> None:
    assert "is not in a git repository" in refused(tmp_path).message
    git(tmp_path, "init", "-q", "empty")
    assert "has no commit yet" in refused(tmp_path / "empty").message
    git(tmp_path, "init", "-q", "--bare", "bare")
    assert "without a checkout" in refused(tmp_path / "bare").message


def test_git_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not on PATH" in refused(tmp_path).message


def test_a_repository_of_another_user_is_not_read(origin: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusterctl.review.git_process.FIXED", {"LC_ALL": "C", "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    error = refused(origin.root)
    assert "belongs to another user" in error.message
    assert "safe.directory" in str(error.hint)


def test_conflicts_of_a_merge_are_named(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "r")
    made.write(a=spec("a"))
    made.commit()
    git(made.root, "checkout", "-q", "-b", "other")
    made.write(a=spec("a", samples=9))
    made.commit()
    git(made.root, "checkout", "-q", "main")
    made.write(a=spec("a", samples=10))
    made.commit()
    with pytest.raises(subprocess.CalledProcessError):
        git(made.root, "merge", "-q", "other")
    error = refused(made.root)
    assert "a merge has left conflicts in a.yaml" in error.message
    with open_checkout(made.root, "other", "HEAD") as checkout:
        assert checkout.head.read("a.yaml", 1000) == spec("a", samples=10).encode()


def test_a_repository_names_programs_and_none_is_started(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "r")
    made.put(".gitattributes", "*.yaml filter=evil diff=evil\n")
    made.write(a=spec("a"))
    made.commit()
    mark = tmp_path / "started"
    for key in ("core.fsmonitor", "core.pager", "diff.external", "diff.evil.textconv", "filter.evil.clean", "core.sshCommand",
                "filter.evil.smudge", "filter.evil.process", "gpg.program", "core.editor", "core.alternateRefsCommand"):  # fmt: skip
        git(made.root, "config", key, f"touch {mark}")
    git(made.root, "config", "log.showSignature", "true")
    hooks = made.root / ".git" / "hooks"
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (hooks / hook).chmod(0o755)
    (made.root / "a.yaml").write_text(spec("a", samples=9))
    with open_checkout(made.root, "main", None) as checkout:
        assert checkout.head.read("a.yaml", 1000) == spec("a", samples=9).encode()
        assert checkout.base.read("a.yaml", 1000) == spec("a").encode()
    assert not mark.exists()


def test_no_link_of_the_working_tree_is_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.yaml").write_text("token: 1\n")
    made = new_repository(tmp_path / "r")
    made.put("folder/secret.yaml", "fine: 1\n")
    made.put("plain.yaml", "fine: 1\n")
    made.commit()
    (made.root / "folder" / "secret.yaml").unlink()
    (made.root / "folder").rmdir()
    (made.root / "folder").symlink_to(tmp_path / "outside")
    (made.root / "plain.yaml").unlink()
    (made.root / "plain.yaml").symlink_to(tmp_path / "outside" / "secret.yaml")
    with open_checkout(made.root, "main", None) as checkout:
        for name in ("folder/secret.yaml", "plain.yaml"):
            assert checkout.head.object_id(name) is None
            with pytest.raises(FileNotFoundError):
                checkout.head.read(name, 1000)


def test_a_pipe_in_the_working_tree_is_not_waited_for(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "r")
    made.write(a=spec("a"))
    made.commit()
    (made.root / "a.yaml").unlink()
    os.mkfifo(made.root / "a.yaml")
    with open_checkout(made.root, "main", None) as checkout:
        assert checkout.head.object_id("a.yaml") is None


def test_what_a_sparse_checkout_leaves_out_is_not_gone(origin: Repository, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(origin.root), "clone")
    git(tmp_path / "clone", "sparse-checkout", "set", "--no-cone", "/a.yaml")
    assert not (tmp_path / "clone" / "sub" / "b.yaml").exists()
    with open_checkout(tmp_path / "clone", "HEAD", None) as checkout:
        assert checkout.head.object_id("sub/b.yaml") == checkout.base.object_id("sub/b.yaml")
        assert checkout.head.read("sub/b.yaml", 1000) == spec("b", samples=16).encode()


def test_a_partial_clone_is_not_completed(origin: Repository, tmp_path: Path) -> None:
    git(origin.root, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{origin.root}", "clone")
    with (
        open_checkout(tmp_path / "clone", "origin/feature", "HEAD") as checkout,
        pytest.raises(OSError, match="the clone lacks its content"),
    ):
        checkout.base.read("a.yaml", 1000)


def test_paths_count_from_where_the_command_runs_and_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "r"
    assert paths_inside(root, root / "sub", ["b.yaml", "../a.yaml", "..", str(root / "x")]) == (
        "sub/b.yaml", "a.yaml", "", "x",
    )  # fmt: skip
    for outside in ("../../etc", "/etc/passwd", f"{root}-other/x"):
        with pytest.raises(ClusterctlError, match="lies outside of the checkout"):
            paths_inside(root, root / "sub", [outside])


def test_names_that_are_no_utf8_can_be_shown() -> None:
    assert shown_path(os.fsdecode(b"caf\xe9.yaml")) == "caf\\xe9.yaml"
