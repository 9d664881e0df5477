"""`clusterctl cost`: what a person and a program read, from 80 to 140 columns, whatever the labels hold."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from accounting_world import T0, add_charge, add_run, at

from clusterctl.cli import main
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.store import open_store
from planners.telemetry.tables import schema

ODD = "a\"b,c;d\n'$.x\N{SNOWMAN}\x1b[31m"
NODE = "node-trainer/1"


@pytest.fixture
def home(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("CLUSTERCTL_LEDGER", url)
    monkeypatch.delenv("CLUSTERCTL_TELEMETRY", raising=False)
    return tmp_path


@pytest.fixture
def world(home: Path) -> Ledger:
    """Two runs: one with GPUs that worked half the time, one on an unpriced machine with odd labels."""
    with open_ledger() as ledger, open_store() as store:
        add_run(ledger, limit_usd=Decimal(500), state="running", ended_at=None)
        add_charge(ledger, live=True)
        add_charge(ledger, name="sandbox/1", usd_per_hour="1.5", tags={"gpus": "0"}, live=True)
        add_run(ledger, "odd", labels={"team": ODD, 'exp"$.': "x"})
        add_charge(ledger, "odd", usd_per_hour=None)
        rows = [
            {
                "at": T0 + timedelta(seconds=10 * tick),
                "node": NODE,
                "gpu": str(gpu),
                "run": "rlcef-1",
                "role": "trainer",
                "reason": "waiting_sandbox" if gpu >= 6 else None,
                "seconds": 10.0,
            }
            for tick in range(1, 361)
            for gpu in range(8)
        ]
        store.append("gpu", pl.DataFrame(rows, schema=schema("gpu")))
        store.flush()
    return ledger


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["cost", *arguments])
    assert ended.value.code == code
    return capsys.readouterr().out


def test_a_run_by_what_it_went_to(
    world: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert (
        re.sub(r"reached at .*", "reached at WHEN", told(capsys, "rlcef-1"))
        == """\
rlcef-1, running   an estimate: no invoice is imported

  so far      $199.64 of $500.00; $300.36 left
  per hour    $99.82; the limit is reached at WHEN

  purpose                      $  share  GPU-hours
  unmeasured              $98.32    49%       8.00
  busy                    $73.74    37%       6.00
  idle: waiting sandbox   $24.58    12%       2.00
  sandbox                  $3.00   1.5%
  total                  $199.64             16.00
"""
    )


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_it_fits(
    world: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (
        ["--by", "team", "--by", "resource", "--explain"],
        ["rlcef-1", "--explain"],
        ["--by", 'label:exp"$.'],
    ):
        page = told(capsys, *arguments)
        assert max(map(len, page.splitlines())) <= columns
        assert "\x1b" not in page, "a label must not colour the page"


def test_an_unknown_price_is_said_and_never_zero(world: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    page = told(capsys, "--by", "run")
    assert "so far      at least $199.64" in page
    assert "unknown" in next(line for line in page.splitlines() if line.startswith("  odd"))
    assert "unpriced (1): odd/trainer/1" in page


def test_json_and_csv_say_the_same_and_survive_any_label(world: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(told(capsys, "--json", "--by", "team"))
    assert {row["team"]: row["usd"] for row in found["rows"]} == {"ml": "199.640000", ODD: None}
    assert {row["team"]: row["known_usd"] for row in found["rows"]} == {"ml": "199.640000", ODD: "0.000000"}
    assert {row["team"]: row["unpriced"] for row in found["rows"]} == {"ml": 0, ODD: 1}
    assert (found["usd"], found["known_usd"], found["unpriced"]) == (None, "199.640000", ["odd/trainer/1"])
    rows = list(csv.DictReader(io.StringIO(told(capsys, "--csv", "--by", "team"))))
    assert [(row["team"], row["usd"]) for row in rows] == [("ml", "199.640000"), (ODD, "")]
    labels = json.loads(told(capsys, "--json", "--by", 'label:exp"$.'))
    assert {row['label:exp"$.']: row["unpriced"] for row in labels["rows"]} == {None: 0, "x": 1}


def test_a_label_is_no_formula_in_a_spreadsheet(world: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    with open_ledger() as ledger:
        for number, team in enumerate(("=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "1=1", "\N{ROCKET} a,b")):
            add_run(ledger, f"f{number}", labels={"team": team})
            add_charge(ledger, f"f{number}")
    teams = {row["team"] for row in csv.DictReader(io.StringIO(told(capsys, "--csv", "--by", "team", "--by", "role")))}
    assert teams == {"'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(1)", "1=1", "\N{ROCKET} a,b", "ml", ODD}
    assert "=HYPERLINK(1)" in {row["team"] for row in json.loads(told(capsys, "--json", "--by", "team"))["rows"]}


def test_json_of_a_run_holds_formulas_and_prices(world: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(told(capsys, "rlcef-1", "--json"))
    assert sum(Decimal(row["usd"]) for row in found["rows"]) == Decimal(found["usd"])
    assert (found["status"], found["idle_usd"], found["charged_until"]) == ("estimate", "24.580000", at(2).isoformat())
    assert set(found["formulas"]) == {"busy", "idle", "unmeasured", "sandbox"}
    assert [(row["usd_per_hour"], row["source"]) for row in found["prices"]] == [
        ("98.320000000000", "AWS list price"),
        ("1.500000000000", "AWS list price"),
    ]


def test_windows_and_models(world: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    with open_ledger() as ledger:
        content = json.dumps({"spec": {"stages": [{"model": "Qwen/Q"}, {"model": {"name": "own"}}, {}]}})
        ledger.put_plan("p1", schema="clusterctl.plan/1", content=content)
        add_run(ledger, "planned", plan_id="p1")
        add_charge(ledger, "planned", usd_per_hour="1")
    rows = json.loads(told(capsys, "--json", "--by", "model"))["rows"]
    assert {row["model"]: row["known_usd"] for row in rows} == {None: "199.640000", "Qwen/Q + own": "2.000000"}
    assert {row["model"]: row["usd"] for row in rows} == {None: None, "Qwen/Q + own": "2.000000"}
    hour = json.loads(told(capsys, "planned", "--json", "--since", at(0.5).isoformat(), "--until", at(1).isoformat()))
    assert hour["usd"] == "0.500000"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--by", "colour"], 2),
        (["--by", "label:"], 2),
        (["nobody"], 2),
        (["--json", "--csv"], 2),
        (["--since", "x"], 2),
    ],
)
def test_what_is_wrong_is_said(
    world: Ledger, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    assert told(capsys, *arguments, code=code) == ""


def test_an_empty_ledger(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no charges" in told(capsys)
    assert json.loads(told(capsys, "--json"))["usd"] == "0.000000"
    assert told(capsys, "--csv") == "run,usd,known_usd,unpriced,gpu_hours,idle_usd,share\n"
