"""`clusterctl doctor` notices a broken installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterctl import paths
from clusterctl.commands import doctor
from clusterctl.errors import StateError


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
    assert f"no infra, templates in {tmp_path}" in capsys.readouterr().out


def test_an_extra_that_is_absent_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"aws": "no_such_module.client"})
    doctor.doctor(as_json=False)
    assert "absent  extra aws" in (shown := capsys.readouterr().out)
    assert "→ pip install 'clusterctl[aws]'" in shown
