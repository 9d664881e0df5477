"""Around a fleet: its folder, its passphrase, one command at a time, the engine that is found."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from clusterctl.errors import SpecError
from clusterctl.fleet.errors import FleetError, StackLocked
from clusterctl.fleet.place import FleetPlace
from clusterctl.fleet.program import ask
from clusterctl.fleet.pulumi_engine import engine_folder, find_engine, find_engines
from clusterctl.fleet.stack import FleetStack


def engine(folder: Path, said: str) -> Path:
    """A program that says it is of some version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pulumi").write_text(f"#!/bin/sh\necho {said}\n")
    (folder / "pulumi").chmod(0o755)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_passphrase_are_for_nobody_else_and_the_passphrase_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    place = FleetPlace(tmp_path, "rl-1")
    place.make()
    file = Path(place.environment()["PULUMI_CONFIG_PASSPHRASE_FILE"])
    first = file.read_text()
    assert (mode(tmp_path / "fleets"), mode(file)) == (0o700, 0o600)
    assert len(first) > 40
    assert Path(place.environment()["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_text() == first
    assert first not in str(place.environment())
    assert place.backend == (tmp_path / "fleets").as_uri()


def test_who_has_a_passphrase_or_a_place_for_states_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "mine")
    monkeypatch.setenv("CLUSTERCTL_STATE_URL", "s3://states")
    place = FleetPlace(tmp_path, "rl-1")
    place.make()
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in place.environment()
    assert place.backend == "s3://states"


def test_one_command_at_a_time_works_on_a_fleet(tmp_path: Path) -> None:
    with (
        FleetPlace(tmp_path, "rl-1").locked(),
        pytest.raises(StackLocked, match=r"clusterctl process \d+ on .*, since .* UTC, works on the fleet of rl-1"),
        FleetPlace(tmp_path, "rl-1").locked(),
    ):
        pass
    with FleetPlace(tmp_path, "rl-1").locked(), FleetPlace(tmp_path, "rl-2").locked():
        pass


def test_the_engine_on_path_comes_first_and_an_old_one_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(SpecError, match="not installed"):
        find_engine(tmp_path)
    monkeypatch.setenv("PATH", str(engine(tmp_path / "path", "v3.100.0")))
    with pytest.raises(SpecError, match=r"pulumi 3\.100\.0 at .* is too old"):
        find_engine(tmp_path)
    engine(engine_folder(tmp_path) / "bin", "v3.250.0")
    assert [each.version for each in find_engines(tmp_path)] == [(3, 100, 0), (3, 250, 0)]
    assert find_engine(tmp_path).root == engine_folder(tmp_path)
    engine(tmp_path / "path", "v3.251.0")
    assert find_engine(tmp_path).root is None


def test_a_machine_without_the_sdk_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(engine(tmp_path / "path", "v3.250.0")))
    monkeypatch.delenv("CLUSTERCTL_PULUMI_PYTHON", raising=False)
    with pytest.raises(SpecError, match="not installed: no pulumi"):
        FleetStack(tmp_path / "store", "rl-1").outputs()


def test_a_program_that_dies_without_an_answer_is_an_error_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERCTL_PULUMI_PYTHON", "/bin/false")
    with pytest.raises(FleetError, match="has died") as caught:
        list(ask({"work_dir": str(tmp_path)}, {}))
    assert str(tmp_path / "log.txt") in (caught.value.hint or "")
