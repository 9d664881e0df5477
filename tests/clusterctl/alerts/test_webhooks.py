"""Webhooks against local servers that answer, refuse, hang, drip and lead elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from local_receivers import answer, certificate, closed_port, drip, hang, http_receiver, message

from clusterctl.alerts.messages import NotDelivered
from clusterctl.alerts.rules_file import Webhook
from clusterctl.alerts.webhook import checked_address, post
from clusterctl.errors import SpecError

SECRET = "very-secret-path"


def hook(monkeypatch: pytest.MonkeyPatch, url: str, **fields: Any) -> Webhook:
    monkeypatch.setenv("HOOK", url)
    return Webhook.model_validate({"kind": "slack", "url_env": "HOOK", "seconds": 20.0} | fields)


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    """Lets servers that hang go on at the end."""
    event = threading.Event()
    yield event
    event.set()


def test_a_webhook_gets_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as server:
        assert post(hook(monkeypatch, server.url), message()) == ""
        monkeypatch.setenv("TOKEN", "token-of-the-hook")
        post(hook(monkeypatch, server.url, kind="json", token_env="TOKEN"), message())
    (slack_headers, slack), (headers, body) = server.got
    assert "rlcef-1: no step for 16 min" in slack["text"]
    assert "Authorization" not in slack_headers
    assert headers["Authorization"] == "Bearer token-of-the-hook"
    assert body["alerts"][0]["rule"] == "stalled"
    assert headers["Idempotency-Key"] == body["id"] == message().id


def test_an_address_in_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hook"
    with http_receiver() as server:
        file.write_text(server.url, encoding="utf-8")
        receiver = Webhook(kind="slack", url_file=str(file))
        file.chmod(0o644)
        with pytest.raises(SpecError, match=r"receivers\.ops: others may read"):
            post(receiver, message())
        file.chmod(0o600)
        post(receiver, message())
    assert len(server.got) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answer(500, "oh no"), "127.0.0.1: HTTP 500: oh no"),
        (answer(404, "no_service"), "127.0.0.1: HTTP 404: no_service"),
        (answer(503, "<html>gateway</html>"), "127.0.0.1: HTTP 503"),
        (answer(400, f"no such hook: /services/T0/B0/{SECRET}"), "127.0.0.1: HTTP 400: no such hook: /***"),
        (answer(400, "\x1b[31mred"), "127.0.0.1: HTTP 400: ␛[31mred"),
    ],
)
def test_a_refusal_is_said_without_the_address(monkeypatch: pytest.MonkeyPatch, given: Any, said: str) -> None:
    with http_receiver(given) as server, pytest.raises(NotDelivered) as refused:
        post(hook(monkeypatch, server.url), message())
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("after", "least", "most"),
    [
        ("17", 17, 17),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 10**6, 10**10),
        ("soon", None, None),
        ("9" * 400, 86_400, 86_400),
    ],
)
def test_a_rate_limit_says_when_to_try_again(
    monkeypatch: pytest.MonkeyPatch, after: str, least: int | None, most: int | None
) -> None:
    limited = answer(429, "slow down", {"Retry-After": after})
    with http_receiver(limited) as server, pytest.raises(NotDelivered, match="HTTP 429: slow down") as refused:
        post(hook(monkeypatch, server.url), message())
    pause = refused.value.asked_pause
    assert pause is None if least is None else timedelta(seconds=least) <= pause <= timedelta(seconds=most)  # type: ignore[operator,arg-type]


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as other, http_receiver(answer(307, "", {"Location": other.url})) as server:
        with pytest.raises(NotDelivered, match="HTTP 307 leads elsewhere") as refused:
            post(hook(monkeypatch, server.url), message())
        assert other.got == []
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("slowly", [hang, drip])
def test_whoever_is_too_slow_is_given_up(monkeypatch: pytest.MonkeyPatch, ended: threading.Event, slowly: Any) -> None:
    began = time.monotonic()
    with http_receiver(slowly(ended)) as server, pytest.raises(NotDelivered) as refused:
        post(hook(monkeypatch, server.url, seconds=0.3), message())
    assert time.monotonic() - began < 10
    assert "no answer within 0.3 s" in str(refused.value) or "does not answer in time" in str(refused.value)


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotDelivered, match=r"127\.0\.0\.1: it can't be connected to"):
        post(hook(monkeypatch, f"http://127.0.0.1:{closed_port()}/{SECRET}"), message())


def test_tls_that_nobody_vouches_for_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    with http_receiver(tls=pem) as server:
        with pytest.raises(NotDelivered, match="its certificate or TLS is refused"):
            post(hook(monkeypatch, server.url), message())
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        post(hook(monkeypatch, server.url), message())
    assert len(server.got) == 1


def test_a_server_without_tls_behind_https(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as server, pytest.raises(NotDelivered, match="its certificate or TLS is refused"):
        post(hook(monkeypatch, server.url.replace("http:", "https:")), message())


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/very-secret-path", "ftp://x/very-secret-path", "very-secret-path", "https://[very-secret-path"],
)
def test_a_bad_address_is_refused_and_never_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(SpecError) as refused:
        post(hook(monkeypatch, url), message())
    assert SECRET not in f"{refused.value.message} {refused.value.hint}"


def test_plain_http_to_another_machine_only_where_it_is_asked_for() -> None:
    assert checked_address("http://10.0.0.1/x", Webhook(kind="json", url_env="X", plain_http=True), "receivers.x")
