"""A taste of the HTTP fuzzer in every test run, and proof that it would notice."""

from __future__ import annotations

import pytest
from fuzz_http import finds

from clusterctl.sandbox import sandbox_server


def test_malformed_requests_get_a_status() -> None:
    found, counts = finds(300, seed=0)
    assert found == []
    assert {200, 400, 422} <= set(counts)


def test_the_fuzzer_notices_a_server_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_server, "parse_request", lambda _: 1 / 0)
    found, _ = finds(20, seed=0)
    assert any("status 500" in find for find in found)
