"""Factors of own runs: one calibration at a time is in use, any can be reverted, and a plan reads the same."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from ledger_world import at

from clusterctl.errors import SpecError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import FactorRow
from clusterctl.plan_service import factors_of, load_factors
from planners.workload.factors import NO_FACTORS


def row(calibration: str, applied_at: datetime, phase: str = "train", log_factor: float = 0.25) -> FactorRow:
    return FactorRow(
        calibration_id=calibration,
        work="rl_step",
        phase=phase,
        model_class="dense 3-10B",
        engine="fsdp",
        sandbox_profile="",
        inputs="",
        gpu="H100",
        log_factor=log_factor,
        log_sd=0.2,
        ratios={"run-1": 1.3},
        applied_at=applied_at,
    )


def in_use(ledger: Ledger) -> set[str]:
    return {found.calibration_id for found in ledger.factors(in_use=True)}


def test_the_last_that_is_not_reverted_is_in_use(ledger: Ledger) -> None:
    assert ledger.factors() == ledger.factors(in_use=True) == ()
    ledger.put_factors([row("a", at(1)), row("a", at(1), "generate")])
    ledger.put_factors([row("b", at(2))])
    assert in_use(ledger) == {"b"}
    for _ in range(2):
        ledger.revert_factors("b")
        assert in_use(ledger) == {"a"}
    ledger.revert_factors("a")
    assert ledger.factors(in_use=True) == ()
    assert len(ledger.factors()) == 3, "nothing is forgotten"
    ledger.put_factors([row("a", at(3)), row("a", at(3), "generate")])
    assert in_use(ledger) == {"a"}, "the same again is in use again"


def test_a_calibration_that_was_never_applied_is_named(ledger: Ledger) -> None:
    with pytest.raises(SpecError, match="no calibration is called `zzz`"):
        ledger.revert_factors("zzz")


def test_two_who_apply_at_once_leave_one_whole_calibration(url: str, ledger: Ledger) -> None:
    names = ("a", "b")

    def act(name: str) -> None:
        with open_ledger(url, wait_seconds=30) as mine:
            for turn in range(10):
                mine.put_factors([row(name, at(turn), phase) for phase in ("generate", "sandbox", "train")])

    threads = [threading.Thread(target=act, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.factors(in_use=True)) == 3
    assert len(ledger.factors()) == 6
    assert in_use(ledger) <= set(names)


def test_a_plan_reads_what_the_ledger_holds(url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_LEDGER", url)
    assert load_factors() == NO_FACTORS
    ledger.put_factors([row("old", at(1))])
    ledger.put_factors([row("new", at(2), log_factor=0.5), row("new", at(2), "generate")])
    assert load_factors() == factors_of(ledger.factors(in_use=True))
    found = load_factors()
    assert found.identity == "new"
    (train,) = [factor for factor in found.rows if factor.place.phase == "train"]
    assert (train.gpu, train.log_factor, train.ratios) == ("H100", 0.5, {"run-1": 1.3})
    ledger.put_factors([dataclasses.replace(row("old", at(3)))])
    assert load_factors().identity == "old"


def test_a_ledger_that_cannot_be_read_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "damaged #1?.db"
    monkeypatch.setenv("CLUSTERCTL_LEDGER", str(damaged))
    assert load_factors() == NO_FACTORS
    assert not damaged.exists(), "a plan makes no ledger"
    assert not caplog.records
    damaged.write_bytes(b"not a database" * 100)
    assert load_factors() == NO_FACTORS
    assert "planned without what your runs taught" in caplog.text
    damaged.unlink()
    with closing(sqlite3.connect(damaged)) as theirs:
        theirs.executescript(
            "CREATE TABLE factors (calibration_id, applied_at, reverted_at, ratios);"
            "INSERT INTO factors VALUES ('a', '2026', NULL, '{}')"
        )
    assert load_factors() == NO_FACTORS
    assert "can't be read: KeyError('work')" in caplog.text
