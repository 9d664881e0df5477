"""Which run specs and plan files a change touches, or reaches through a file that they read.

They are known by their content, wherever they lie: a run spec is YAML (or JSON) whose `stages` have a kind, a plan file
is JSON that names a plan's schema.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.review.checkout import Checkout
from clusterctl.review.tree_files import named_files
from clusterctl.review.trees import LINK, MODULE, Tree, opened_beneath, shown_path
from clusterctl.review.value import SpecStatus
from clusterctl.specfile.plan_file import MAX_BYTES as MAX_PLAN_BYTES
from clusterctl.specfile.plan_file import looks_like_plan
from clusterctl.specfile.spec_file import config_name, files_named
from clusterctl.specfile.yaml_file import MAX_BYTES as MAX_SPEC_BYTES
from clusterctl.specfile.yaml_file import Document, parse_yaml
from planners.spec.run_spec import STAGE_KINDS

SUFFIXES = (".yaml", ".yml", ".json")
MAX_SPECS = 500
"""About a minute on two cores."""
MAX_PAIRS = 10_000
"""More removed and added files are told to be one only where they are equal."""
MAX_NOTES = 10
"""More of one kind are counted, not named."""
SIMILAR = 0.5
"""Share of equal lines from which a removed and an added file are one that was renamed, as git has it."""
STAGES = re.compile(rb"stages[\"']?\s*:")
OWN_KEYS = {"fleet", "limits", "objective", "economics"}
BROKEN_SPEC = re.compile(rf"(?m)^stages\s*:(?s:.*)\bkind\s*:\s*[\"']?({'|'.join(STAGE_KINDS)})\b")
"""A run spec that is no YAML any more."""

FileKind = Literal["spec", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecText:
    """A run spec or a plan file at one end."""

    path: str
    kind: FileKind
    text: str
    document: Document | None
    """Of a spec that is YAML."""
    problem: SpecError | None = None
    """Why it isn't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSpec:
    """A run spec or plan file that the change touches or reaches; None at the end where it isn't."""

    status: SpecStatus
    base: SpecText | None
    head: SpecText | None
    reached_by: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """At the head; of a removed one at the base."""
        text = self.head or self.base
        assert text is not None  # one of the two is there, by construction
        return text.path


def changed_specs(
    checkout: Checkout, within: Sequence[str], book: Sequence[str] = ()
) -> tuple[tuple[ChangedSpec, ...], tuple[str, ...]]:
    """What changed among the specs and plan files beneath the names `within` (none = everywhere), and notes on what was
    not looked at.  book: files of the price book that changed, which reach every spec.

    Raises ClusterctlError for a name that neither end has.
    """
    _refuse_unknown(checkout, within)
    everything = {*checkout.base.entries, *checkout.head.entries, *checkout.untracked}
    names = sorted(name for name in everything if _is_within(name, within))
    base, head, unchanged = _Reader(checkout.base), _Reader(checkout.head), _Reader(checkout.head)
    both, removed, added, affected = [], [], [], []
    for name in names:
        if not name.lower().endswith(SUFFIXES):
            continue
        before, after = checkout.base.object_id(name), checkout.head.object_id(name)
        if before != after:
            old, new = base.spec(name, like=None), head.spec(name, like=None)
            if old and new is None:
                new = head.spec(name, like=old)
            if old and new:
                both.append(ChangedSpec(status="changed", base=old, head=new))
            elif old:
                removed.append(old)
            elif new:
                added.append(new)
        elif before is not None and (found := _reached(checkout, unchanged, name, book)):
            affected.append(found)
    changed = [*both, *_renamed(removed, added), *affected]
    if len(changed) > MAX_SPECS:
        raise ClusterctlError(
            f"{len(changed):,} run specs and plan files changed; a review takes {MAX_SPECS} at most",
            hint="name some files or folders: `clusterctl review --base REV FOLDER`",
        )
    notes = _notes(checkout, names, base.unread | head.unread)
    return tuple(sorted(changed, key=lambda change: change.path)), notes


class _Reader:
    """Reads the specs of one end, and remembers what it could not read."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.unread: dict[str, str] = {}

    def spec(self, name: str, *, like: SpecText | None) -> SpecText | None:
        """The spec or plan file of this name; None where it is neither.

        like: what it was at the other end, if it was one: then what can't be read any more is broken, not another file.
        """
        if self._tree.object_id(name) is None:
            return None
        try:
            content = self._tree.read(name, MAX_PLAN_BYTES if name.lower().endswith(".json") else MAX_SPEC_BYTES)
        except OSError as error:
            reason = error.strerror or str(error)
            if like is None:
                self.unread[name] = reason
                return None
            problem = SpecError(f"{shown_path(name)}: {reason}")
            return SpecText(path=name, kind=like.kind, text="", document=None, problem=problem)
        text = content.decode("utf-8-sig", "replace")
        if looks_like_plan(text) and '"clusterctl.plan/' in text[:100_000]:
            return SpecText(path=name, kind="plan", text=text, document=None)
        if len(content) > MAX_SPEC_BYTES or (STAGES.search(content) is None and like is None):
            return None
        return _spec_text(name, content, text, like)


def _spec_text(name: str, content: bytes, text: str, like: SpecText | None) -> SpecText | None:
    shown = shown_path(name)
    try:
        if "\ufffd" in text:
            content.decode("utf-8-sig")
        document = parse_yaml(text, name=shown)
    except (SpecError, UnicodeDecodeError) as error:
        if like is None and not BROKEN_SPEC.search(text):
            return None
        problem = error if isinstance(error, SpecError) else SpecError(f"{shown}: is not UTF-8")
        return SpecText(path=name, kind="spec", text=text, document=None, problem=problem)
    if not is_run_spec(document.data) and (like is None or not isinstance(document.data, dict)):
        return None
    return SpecText(path=name, kind="spec", text=text, document=document)


def is_run_spec(data: Any) -> bool:
    """Whether plain data has the shape of a run spec, right or wrong: other programs have `stages` too, but theirs have
    no kind."""
    stages = data.get("stages") if isinstance(data, dict) else None
    if not isinstance(stages, list):
        return False
    return any(isinstance(stage, dict) and "kind" in stage for stage in stages) or bool(OWN_KEYS & set(data))


def _reached(checkout: Checkout, head: _Reader, name: str, book: Sequence[str]) -> ChangedSpec | None:
    """The unchanged spec of this name, if a file that it reads has changed."""
    spec = head.spec(name, like=None)
    if spec is not None and spec.kind == "plan" and book:
        return ChangedSpec(status="affected", base=spec, head=spec, reached_by=tuple(book))
    if spec is None or spec.document is None or not isinstance(spec.document.data.get("stages"), list):
        return None
    names = []
    for parent, key, _ in files_named(spec.document.data):
        inner = parent[key]
        names.append(inner["file"] if isinstance(inner, dict) else config_name(inner))
    read = named_files(posixpath.dirname(name), names)
    moved = sorted(path for path in read if checkout.base.object_id(path) != checkout.head.object_id(path))
    reached_by = (*(shown_path(path) for path in moved), *book)
    return ChangedSpec(status="affected", base=spec, head=spec, reached_by=reached_by) if reached_by else None


def _renamed(removed: Sequence[SpecText], added: Sequence[SpecText]) -> Iterator[ChangedSpec]:
    """Removed and added files; those that are alike, the most alike first, are one that was renamed."""
    is_many = len(removed) * len(added) > MAX_PAIRS
    lines = {id(text): Counter([text.text] if is_many else text.text.splitlines()) for text in (*removed, *added)}
    pairs = []
    for i, old in enumerate(removed):
        for j, new in enumerate(added):
            ours, theirs = lines[id(old)], lines[id(new)]
            share = 2 * (ours & theirs).total() / max(ours.total() + theirs.total(), 1)
            if old.kind == new.kind and share >= SIMILAR:
                pairs.append((-share, i, j))
    gone, taken = set(), set()
    for _, i, j in sorted(pairs):
        if i not in gone and j not in taken:
            gone.add(i)
            taken.add(j)
            yield ChangedSpec(status="renamed", base=removed[i], head=added[j])
    yield from (ChangedSpec(status="removed", base=t, head=None) for i, t in enumerate(removed) if i not in gone)
    yield from (ChangedSpec(status="added", base=None, head=t) for j, t in enumerate(added) if j not in taken)


def _is_within(name: str, within: Sequence[str]) -> bool:
    return not within or any(not path or name == path or name.startswith(f"{path}/") for path in within)


def _refuse_unknown(checkout: Checkout, within: Sequence[str]) -> None:
    names = (*checkout.base.entries, *checkout.head.entries, *checkout.untracked)
    for path in within:
        if not any(_is_within(name, (path,)) for name in names):
            raise ClusterctlError(
                f"{shown_path(path)}: neither end has a file or folder of this name",
                hint="git knows only what is added: `git add` it, or correct the name",
            )


def _notes(checkout: Checkout, names: Sequence[str], unread: Mapping[str, str]) -> tuple[str, ...]:
    """What was not looked at, as sentences."""
    base, head = checkout.base.entries, checkout.head.entries
    modes = {name: (head.get(name) or base[name]).mode for name in names if base.get(name) != head.get(name)}
    links = [name for name, mode in modes.items() if mode == LINK and name.lower().endswith(SUFFIXES)]
    modules = [name for name, mode in modes.items() if mode == MODULE]
    specs = [name for name in checkout.untracked if name in names and _is_untracked_spec(checkout, name)]
    return (
        *_some(links, "is a symbolic link, which a review does not follow"),
        *_some(modules, "is a submodule: its files are not compared"),
        *_some(specs, "is not compared, since git does not track it: `git add` it"),
        *(f"{shown_path(name)}: not looked at: {reason}" for name, reason in sorted(unread.items())[:MAX_NOTES]),
    )


def _is_untracked_spec(checkout: Checkout, name: str) -> bool:
    try:
        with opened_beneath(checkout.root, name) as file:
            return STAGES.search(os.read(file, MAX_SPEC_BYTES)) is not None
    except OSError:
        return False


def _some(names: Sequence[str], what: str) -> Iterator[str]:
    yield from (f"{shown_path(name)} {what}" for name in names[:MAX_NOTES])
    if len(names) > MAX_NOTES:
        yield f"and {len(names) - MAX_NOTES} more such files"
