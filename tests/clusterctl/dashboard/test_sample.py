"""The simulated day in a user's folder: made once, always the same, labelled, and at real prices."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from clusterctl.dashboard import sample
from clusterctl.ledger import open_ledger

RLCEF, SYNTHESIZE, EVALUATE = "simulated-rlcef-32b", "simulated-triples", "simulated-swebench"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.ensure_sample(tmp_path_factory.mktemp("home"))


def test_it_is_made_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "load_sample", lambda _: pytest.fail("made again"))
    assert sample.ensure_sample(folder.parent) == folder


@pytest.mark.parametrize("stamp", ["", "{", '{"version": 2, "simulated": true, "seed": 64}', "[]"])
def test_an_older_or_damaged_one_is_made_anew(tmp_path: Path, stamp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "sample"
    old.mkdir()
    (old / sample.STAMP).write_text(stamp)
    monkeypatch.setattr(sample, "load_sample", lambda new: (new.mkdir(), (new / "made").write_text("new")))
    assert (sample.ensure_sample(tmp_path) / "made").read_text() == "new"


def test_everything_says_that_it_is_simulated(folder: Path) -> None:
    assert json.loads((folder / sample.STAMP).read_text())["simulated"] is True
    with open_ledger(str(folder / "ledger.db")) as ledger:
        for run in ledger.runs():
            assert run.run_id.startswith("simulated-")
            assert (run.target, run.labels["simulated"]) == ("simulated", "true")


def test_the_bill_is_nodes_times_hours_at_the_plans_prices(folder: Path) -> None:
    with open_ledger(str(folder / "ledger.db")) as ledger:
        assert ledger.bill(RLCEF).usd == 24 * (8 * Decimal("55.04") + Decimal("5.44"))
        assert ledger.bill(SYNTHESIZE).usd is not None
        assert [run.state for run in ledger.runs()] == ["finished", "finished", "running"]
        assert [left.resource_id for left in ledger.leftovers()] == [f"{SYNTHESIZE}/synth-sandbox-1"]
        assert ledger.run_count() == 3
        assert [run.run_id for run in ledger.runs(limit=1)] == [EVALUATE]
