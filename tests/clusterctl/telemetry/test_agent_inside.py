"""What can't be waited for in a real agent: a driver of another version, a clock that goes back, a change of hour."""

from __future__ import annotations

import io
import os
import types
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clusterctl.store.partitions import partition_of
from clusterctl.telemetry import agent as agent_module
from clusterctl.telemetry.agent import Agent
from clusterctl.telemetry.parquet import batches
from clusterctl.telemetry.settings import AgentSettings


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(AgentSettings(store=str(tmp_path / "store"), node="n"))


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
    assert [AgentSettings.parse(command[-1]) for command in started] == [agent.settings]
    assert agent._writer is not None
    assert agent._writer.waiting_rows() == 0, "what was measured is written first"


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
    assert [(partition_of("gpu", one.last), one.rows) for one in batches("gpu", rows)] == [
        ("2026-05-04/11", 2),
        ("2026-05-04/12", 1),
    ]
    notes = [{"at": noon + ms, "node": "n", "kind": "gap"} for ms in (0, 12 * 3_600_000, 12 * 3_600_000 + 1)]
    assert [(partition_of("notes", one.last), one.rows) for one in batches("notes", notes)] == [
        ("2026-05-04", 2),
        ("2026-05-05", 1),
    ]


def test_a_log_that_can_not_be_written_stops_nothing(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    agent.note("error", "x", "Wörter")
    monkeypatch.setattr("sys.stdout.flush", lambda: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    agent.note("error", "x", "words")
    assert len(agent._rows["notes"]) == 2


def test_a_name_of_a_file_is_no_escape_and_costs_no_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / os.fsdecode(b"a\x1b[2J\xff.prom")).write_text("what is this\n")
    agent = Agent(AgentSettings(store=str(tmp_path / "store"), node="n", metrics_files=(str(tmp_path / "*.prom"),)))
    agent.page()
    agent.flush()
    assert agent._writer is not None
    assert agent._writer.waiting_rows() == 1
    assert "\x1b" not in capsys.readouterr().out


def test_a_row_that_can_not_be_encoded_costs_no_other_table(agent: Agent) -> None:
    agent.add("devices", gpu=object())
    agent.add("host", seconds=1.0)
    agent.flush()
    assert agent._writer is not None
    assert agent._writer.waiting_rows() == 1
    assert [note["subject"] for note in agent._rows["notes"]] == ["devices"]
