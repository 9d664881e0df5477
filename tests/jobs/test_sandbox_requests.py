"""The small client of a run's sandboxes, which jobs use: who is asked again, who is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import clusterctl_http
import clusterctl_sandboxes
import pytest
from stand_in_server import Answer


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusterctl_http, "FIRST_PAUSE_SECONDS", 0.001)


def test_servers_that_are_busy_or_away_are_asked_again(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left = [429, 503, 500]

    def answer(path: str, question: dict[str, Any]) -> tuple[int, Any]:
        assert (path, question["language"], question["run_timeout"]) == ("/run_code", "python", 10.0)
        return (left.pop(), {}) if left else (200, {"status": "Success"})

    (tmp_path / "token").write_text("word\n")
    monkeypatch.setenv("CLUSTERCTL_SANDBOX_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("CLUSTERCTL_SANDBOXES", f"{serve(answer)},http://127.0.0.1:9")
    assert clusterctl_sandboxes.run_code("print()") == {"status": "Success"}
    assert left == []


def test_a_program_that_is_refused_is_an_error_and_one_without_an_answer_none(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERCTL_SANDBOXES", serve(lambda *_: (422, {"message": "no such language"})))
    with pytest.raises(ValueError, match=r"the sandbox refused a program: .*HTTP status 422: .*no such language"):
        clusterctl_sandboxes.run_code("x", language="cobol")
    monkeypatch.setenv("CLUSTERCTL_SANDBOXES", "http://127.0.0.1:9")
    monkeypatch.setattr(clusterctl_sandboxes, "PATIENCE_SECONDS", 0.05)
    assert clusterctl_sandboxes.run_code("x") is None
