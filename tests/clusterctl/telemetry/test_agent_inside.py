"""What can't be waited for in a real agent: a driver of another version, a clock that goes back, a change of hour."""

from __future__ import annotations

import types
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clusterctl.telemetry import agent as agent_module
from clusterctl.telemetry.agent import Agent
from clusterctl.telemetry.parquet import batches
from clusterctl.telemetry.settings import Settings


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(Settings(store=str(tmp_path / "store"), node="n"))


def test_after_a_driver_upgrade_the_agent_becomes_a_new_one(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(agent_module.os, "execv", lambda _, command: started.append(command))
    agent._collector = types.SimpleNamespace(gpus=types.SimpleNamespace(replaced=True), announce=lambda: None)  # type: ignore[assignment]
    agent.add("host", seconds=1.0)
    agent.flush()
    assert started == [], "not again and again, should the new library not help"
    agent._began -= 3600
    agent.add("host", seconds=1.0)
    agent.flush()
    assert [Settings.parse(command[-1]) for command in started] == [agent.settings]
    assert agent._batch_writer is not None
    assert agent._batch_writer.waiting_rows() == 0, "what was measured is written first"


def test_a_clock_that_goes_back_is_noted_and_rows_are_written_at_once(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([1000.0, 1001.0, 1000.5, 400.0, 401.0])
    monkeypatch.setattr(agent_module.time, "time", lambda: next(now))
    monkeypatch.setattr(agent, "add", lambda table, **columns: notes.append(columns))
    notes: list[dict[str, str]] = []
    assert [agent._clock_holds() for _ in range(5)] == [True, True, True, False, True]
    assert [(note["kind"], note["subject"]) for note in notes] == [("gap", "clock")]
    assert "went back by 600 s" in notes[0]["text"]


def test_rows_are_split_where_the_hour_or_the_day_ends() -> None:
    noon = int(datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp() * 1000)
    rows = [{"at": noon + ms, "node": "n", "gpu": str(ms), "seconds": 1.0} for ms in (-5, 0, 5)]
    assert [(one.partition, one.rows) for one in batches("gpu", rows)] == [("2026-05-04/11", 2), ("2026-05-04/12", 1)]
    notes = [{"at": noon + ms, "node": "n", "kind": "gap"} for ms in (0, 12 * 3_600_000, 12 * 3_600_000 + 1)]
    assert [(one.partition, one.rows) for one in batches("notes", notes)] == [("2026-05-04", 2), ("2026-05-05", 1)]
