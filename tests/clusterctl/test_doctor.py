"""`clusterctl doctor` notices a broken installation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterctl import paths
from clusterctl.commands import doctor
from clusterctl.errors import StateError

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_another_distribution_that_ships_planners_is_a_broken_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "packages_distributions", lambda: {"planners": ["clusterctl", "someone-else"]})
    with pytest.raises(StateError, match="packages"):
        doctor.doctor(as_json=False)


def test_missing_bundled_files_are_a_broken_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app").mkdir()
    monkeypatch.setattr(paths, "bundle_root", lambda: tmp_path)
    with pytest.raises(StateError, match="bundled files"):
        doctor.doctor(as_json=False)
    shown = "".join(capsys.readouterr().out.split())  # a long path is wrapped
    assert f"noinfra,examples,templatesin{tmp_path}" in shown


def test_an_extra_that_is_absent_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"aws": "no_such_module.client"})
    doctor.doctor(as_json=False)
    assert "absent  extra aws" in (shown := capsys.readouterr().out)
    assert "→ pip install 'clusterctl[aws]'" in shown


# --- the sandbox, as the command sees this machine through PATH


@pytest.fixture
def path_without(tmp_path: Path) -> Callable[..., Path]:
    """A folder of links to all tools of the system but some."""

    def made(*tools: str) -> Path:
        (folder := tmp_path / "bin").mkdir()
        for file in (file for place in ("/usr/sbin", "/usr/bin") for file in Path(place).iterdir()):
            if file.name not in tools and not (folder / file.name).is_symlink():
                (folder / file.name).symlink_to(file)
        return folder

    return made


MANAGERS = ("apt-get", "dnf", "apk", "pacman", "zypper")


def sandbox_check(run: Run, *arguments: str, path: Path) -> tuple[dict[str, str], str]:
    done = run("doctor", "--json", *arguments, PATH=str(path))
    assert done.returncode == 0, done.stderr
    return next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "sandbox"), done.stderr


def test_doctor_says_which_sandbox_and_what_is_weaker(clusterctl: Run, path_without: Callable[..., Path]) -> None:
    path = path_without("bwrap", *MANAGERS)
    found, _ = sandbox_check(clusterctl, path=path)
    assert found["status"] == "weaker"
    assert "unshare: no system-call filter" in found["detail"]
    assert "bwrap is not installed" in found["detail"]


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not here")
def test_doctor_says_that_bubblewrap_is_fine(clusterctl: Run) -> None:
    found, _ = sandbox_check(clusterctl, path=Path("/usr/bin"))
    assert (found["status"], found["detail"][:10], found["fix"]) == ("ok", "bubblewrap", None)


def test_doctor_without_any_sandbox_is_no_broken_installation(
    clusterctl: Run, path_without: Callable[..., Path]
) -> None:
    found, _ = sandbox_check(clusterctl, path=path_without("bwrap", "unshare", *MANAGERS))
    assert found["status"] == "absent"
    assert "no sandbox works on this machine" in found["detail"]


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("bwrap"), reason="only root may install, here by a link to it"
)
def test_doctor_installs_bubblewrap_when_told_to(clusterctl: Run, path_without: Callable[..., Path]) -> None:
    path = path_without("bwrap", *MANAGERS)
    manager = path / "apt-get"
    manager.write_text(f'#!/bin/sh\n[ "$1" = update ] || ln -s /usr/bin/bwrap {path}/bwrap\n', encoding="utf-8")
    manager.chmod(0o755)
    found, _ = sandbox_check(clusterctl, path=path)
    assert found["fix"] == "`clusterctl doctor --fix` runs `apt-get install -y bubblewrap`"
    found, said = sandbox_check(clusterctl, "--fix", path=path)
    assert (found["status"], said) == ("ok", "running `apt-get install -y bubblewrap`\n")
    (path / "bwrap").unlink()
    manager.write_text("#!/bin/sh\nexit 100\n", encoding="utf-8")
    found, said = sandbox_check(clusterctl, "--fix", path=path)
    assert found["status"] == "weaker"
    assert "warning: `apt-get install -y bubblewrap` failed" in said
