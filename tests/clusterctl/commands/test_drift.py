"""`clusterctl drift` says what differs, in a table or as JSON, and by its exit code."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from clusterctl.commands import drift
from clusterctl.errors import Drifted
from clusterctl.fleet.preview import FleetDrift, FleetStep

GONE = FleetStep(op="delete", urn="u", type="aws:ec2/vpc:Vpc", name="main", usd_per_hour=0.0, usd_per_hour_before=0.0)


def found(monkeypatch: pytest.MonkeyPatch, *steps: FleetStep) -> None:
    """A run whose fleet differs like this."""
    monkeypatch.setattr(drift, "known_run", lambda *_: SimpleNamespace(run_id="rl-1"))
    monkeypatch.setattr(drift, "FleetStack", lambda *_: SimpleNamespace(drift=lambda: FleetDrift(steps=steps)))


def test_what_differs_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, GONE)
    with pytest.raises(Drifted, match="1 resource of rl-1") as caught:
        drift.drift("rl-1")
    assert (caught.value.exit_code, "aws ec2 Vpc" in capsys.readouterr().out) == (9, True)
    with pytest.raises(Drifted):
        drift.drift("rl-1", as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert (data["run"], data["counts"], data["steps"][0]["name"]) == ("rl-1", {"delete": 1}, "main")


def test_nothing_that_differs_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch)
    drift.drift("rl-1")
    assert "no drift" in capsys.readouterr().out
