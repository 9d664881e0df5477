"""Which two ends of a git checkout a review compares: where the change left its base, and the change.

The base is the merge base, as pull requests have it: what the base branch got since is no part of the change.  The
head is the working tree with what is not committed yet, which in CI is the commit that was checked out; or a commit
that is named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.review.git_process import git_output, run_git
from clusterctl.review.trees import Blobs, Tree, commit_tree, untracked, working_tree
from clusterctl.ui.streams import printable

DEEPER = "fetch its history: `git fetch --unshallow`, with actions/checkout `fetch-depth: 0`, in GitLab `GIT_DEPTH: 0`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """Both ends of a change."""

    root: Path
    base: Tree
    head: Tree
    base_commit: str
    head_commit: str
    """Of the working tree: the commit that it stands on."""
    base_date: datetime
    """Of the base's commit, UTC."""
    untracked: tuple[str, ...]
    """Files beside the head that git does not track."""


@contextmanager
def open_checkout(folder: Path, base: str, head: str | None) -> Iterator[Checkout]:
    """The ends of the repository around `folder`; head: None = the working tree.

    Raises ClusterctlError for whatever keeps two ends from being there: no repository, an unknown revision, a shallow
    clone, no merge base.
    """
    root = _root(folder)
    tip = _commit(root, head or "HEAD", "--head" if head else "the head")
    merge_base = _merge_base(root, base, _commit(root, base, "--base"), tip, head or "HEAD")
    blobs = Blobs(root)
    try:
        yield Checkout(
            root=root,
            base=commit_tree(root, merge_base, blobs),
            head=commit_tree(root, tip, blobs) if head else working_tree(root, blobs),
            base_commit=merge_base,
            head_commit=tip,
            base_date=_date(root, merge_base),
            untracked=() if head else untracked(root),
        )
    finally:
        blobs.close()


def paths_inside(root: Path, folder: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Names that a person gave, relative to the checkout, which is itself the empty name.  Raises ClusterctlError."""
    found = []
    for path in paths:
        absolute = os.path.normpath(folder / path)
        if absolute != str(root) and not absolute.startswith(f"{root}/"):
            raise ClusterctlError(
                f"{printable(path)} lies outside of the checkout {root}", hint="name files or folders of the checkout"
            )
        found.append(os.path.relpath(absolute, root) if absolute != str(root) else "")
    return tuple(found)


def _root(folder: Path) -> Path:
    result = run_git(folder, "rev-parse", "--show-toplevel")
    if result.returncode == 0:
        return Path(os.fsdecode(result.stdout.removesuffix(b"\n")))
    if b"must be run in a work tree" in result.stderr:
        raise ClusterctlError(f"{folder}: is a repository without a checkout", hint="run this in a clone of it")
    if b"not a git repository" in result.stderr:
        raise ClusterctlError(
            f"{folder}: is not in a git repository",
            hint="run this in a checkout, or compare Pulumi previews alone with --preview",
        )
    raise ClusterctlError(f"{folder}: git can't use it: {_words(result.stderr)}")


def _words(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
    return printable(lines[0].removeprefix("fatal: "))[:300]


def _commit(root: Path, revision: str, what: str) -> str:
    """The id of the commit that a person calls `revision`."""
    if revision.startswith("-") or "\0" in revision:
        raise ClusterctlError(f"{what} {printable(revision)[:80]} is no revision", hint="name a branch, tag or commit")
    result = run_git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if result.returncode == 0:
        return result.stdout.decode().strip()
    if run_git(root, "rev-parse", "--verify", "--quiet", "HEAD").returncode != 0:
        raise ClusterctlError("the repository has no commit yet", hint="commit something, then review what changes")
    hint = "`git branch -a` lists the branches, `git log --oneline` the commits"
    if what == "--base" and run_git(root, "rev-parse", "--verify", "--quiet", f"origin/{revision}").returncode == 0:
        hint = f"did you mean `--base origin/{revision}`?"
    elif _is_shallow(root):
        hint = f"this is a shallow clone, which has little of the history; {DEEPER}"
    raise ClusterctlError(f"{what} {printable(revision)[:80]}: there is no such commit here", hint=hint)


def _merge_base(root: Path, base: str, base_commit: str, tip: str, head: str) -> str:
    result = run_git(root, "merge-base", base_commit, tip)
    if result.returncode == 0:
        return result.stdout.decode().split()[0]
    names = f"{printable(base)[:80]} and {printable(head)[:80]}"
    if _is_shallow(root):
        raise ClusterctlError(
            f"the commit where {names} part is not in this shallow clone",
            hint=f"`git fetch --deepen=100` until it is, or {DEEPER}",
        )
    raise ClusterctlError(f"{names} have no commit in common", hint="give --base a commit of the head's history")


def _is_shallow(root: Path) -> bool:
    return run_git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"


def _date(root: Path, commit: str) -> datetime:
    """When a commit was made."""
    seconds = git_output(root, "rev-list", "--max-count=1", "--timestamp", commit).split()[0]
    return datetime.fromtimestamp(min(int(seconds), 253402300799), UTC)
