"""The lock files: complete, pinned with hashes, in agreement, and naming no registry.  The wheel itself: tests/wheel/."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
INSTALLER = "requirements-uv.lock"
EXTRAS = ("requirements-train.lock", "requirements-remote.lock")
LOCKS = ("requirements.lock", "requirements-demo.lock", *EXTRAS, "requirements-dev.lock")
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))


def pins(lock: str) -> dict[str, set[str]]:
    """Normalised name → versions (several where a version depends on the Python)."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)", (REPO / lock).read_text(encoding="utf-8"), re.MULTILINE
    ):
        found.setdefault(_normal(name), set()).add(version)
    return found


def _normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


@pytest.mark.parametrize("lock", [*LOCKS, INSTALLER])
def test_every_requirement_is_pinned_with_hashes(lock: str) -> None:
    text = (REPO / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


@pytest.mark.parametrize("lock", [*LOCKS, INSTALLER])
def test_no_registry_is_named(lock: str) -> None:
    text = (REPO / lock).read_text(encoding="utf-8").lower()
    assert [
        word for word in ("://", "--index", "--extra-index", "--find-links", "--trusted-host") if word in text
    ] == []


def test_the_locks_hold_what_the_project_asks_for() -> None:
    runtime = {_normal(name) for name in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["build"]}
    dev = {_normal(name) for name in PROJECT["dependency-groups"]["dev"]}
    assert runtime - set(pins("requirements.lock")) == set()
    assert runtime | dev <= set(pins("requirements-dev.lock"))


@pytest.mark.parametrize("lock", LOCKS[:-1])
def test_the_dev_lock_pins_the_same_versions(lock: str) -> None:
    """Of an extra's lock: what the runtime needs; the rest is the extra's own (SkyPilot wants an older click)."""
    tested = pins("requirements.lock" if lock in EXTRAS else "requirements-dev.lock")
    own = {name: versions for name, versions in pins(lock).items() if name in tested or lock not in EXTRAS}
    assert {name: versions for name, versions in own.items() if tested.get(name) != versions} == {}


def test_every_extra_that_doctor_knows_exists() -> None:
    from clusterctl.commands.doctor import EXTRAS

    assert set(EXTRAS) == set(PROJECT["project"]["optional-dependencies"])
