"""The sandbox server as a trainer meets it: SandboxFusion's requests over real HTTP on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sandbox_serving import serving

from clusterctl.errors import SpecError
from clusterctl.jobs import sandbox_role
from clusterctl.sandbox import isolation
from clusterctl.sandbox.isolation import find_isolation
from clusterctl.sandbox.sandbox_server import SandboxServer
from clusterctl.sandbox.verdict import Policy


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving() as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as opened:
        yield opened


def test_run_code_answers_as_sandboxfusion_does(client: httpx.Client) -> None:
    answer = client.post("/run_code", json={"code": "print(6 * 7)", "language": "python", "run_timeout": 5}).json()
    assert answer["status"] == "Success"
    assert (answer["run_result"]["status"], answer["run_result"]["stdout"]) == ("Finished", "42\n")
    assert answer["run_result"]["return_code"] == 0


def test_a_failing_program_is_no_failing_sandbox(client: httpx.Client) -> None:
    answer = client.post("/run_code", json={"code": "raise SystemExit(3)", "language": "python"}).json()
    assert (answer["status"], answer["run_result"]["return_code"]) == ("Failed", 3)


def test_the_time_limit_is_named(client: httpx.Client) -> None:
    asked = {"code": "while True: pass", "language": "python", "run_timeout": 0.5}
    assert client.post("/run_code", json=asked).json()["run_result"]["status"] == "TimeLimitExceeded"


def test_ping_and_metrics(client: httpx.Client) -> None:
    assert "pong" in client.get("/v1/ping").text
    assert "sandbox" in client.get("/metrics").text


def test_all_that_is_weaker_is_said(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(isolation, "missing_guards", lambda: [("no cgroup", "be root"), ("one user", "be root")])
    own = [weaker] if (weaker := find_isolation().weaker) else []
    assert client.get("/health").json()["weaker"] == [*own, "no cgroup", "one user"]
    (tmp_path / "token").write_text("a-token-of-a-run", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["sandbox_role", "0", "1", "64", str(tmp_path / "token")])
    monkeypatch.setattr(SandboxServer, "serve_forever", lambda _: None)
    sandbox_role.main()
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert [line.partition("; `clusterctl doctor`")[0] for line in warnings] == [
        f"warning: {weakness}" for weakness in (*own, "no cgroup", "one user")
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"code": 3}', b'{"code": "", "language": "python", "files": 1}'])
def test_bad_requests_are_refused(client: httpx.Client, body: bytes) -> None:
    said = {"Content-Type": "application/json"}
    assert client.post("/run_code", content=body, headers=said).status_code == 422


def test_unknown_paths_are_unknown(client: httpx.Client) -> None:
    assert client.get("/nothing").status_code in (404, 405)


@pytest.mark.parametrize("host", ["0.0.0.0", "example.org", "192.0.2.1"])
def test_outside_needs_a_token(host: str) -> None:
    with pytest.raises(SpecError, match="from outside"):
        SandboxServer((host, 0), policy=Policy(), isolation=find_isolation(), workers=1, queue=1, token=None)


def test_a_token_is_asked_for() -> None:
    asked = {"code": "print(1)", "language": "python"}
    with serving(token="right") as url, httpx.Client(trust_env=False, timeout=30) as opened:
        for said in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic !"}, {"Authorization": "right"}):
            assert opened.post(f"{url}/run_code", json=asked, headers=said).status_code == 401
        said = {"Authorization": "Bearer right"}
        assert opened.post(f"{url}/run_code", json=asked, headers=said).status_code == 200
        assert opened.get(f"{url}/v1/ping").status_code == 200
        assert opened.get(f"{url}/health").status_code == 401
