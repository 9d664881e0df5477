"""Who may enter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clusterctl.access import is_loopback
from clusterctl.dashboard.login import may_enter, missing, providers, public_url

AUTH = {
    "redirect_uri": "https://d.example.com/oauth2callback",
    "cookie_secret": "x" * 40,
    "client_id": "a",
    "client_secret": "b",
    "server_metadata_url": "https://id.example.com/.well-known/openid-configuration",
}
ALLOW = {"allowed_emails": ["*@example.com"]}


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
        ("", False),
        (None, False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str | None, only_here: bool) -> None:
    assert is_loopback(host) is only_here


def test_what_a_login_lacks_is_named() -> None:
    assert missing({"auth": AUTH, "clusterctl": ALLOW}) == ()
    shared = {key: AUTH[key] for key in ("redirect_uri", "cookie_secret")}
    provider = {key: AUTH[key] for key in ("client_id", "client_secret", "server_metadata_url")}
    several = {**shared, "google": provider, "okta": {**provider, "client_secret": ""}}
    assert missing({"auth": several, "clusterctl": ALLOW}) == ("[auth.okta] client_secret",)
    assert providers(several) == ("google", "okta")
    assert providers(AUTH | {"client_kwargs": {"prompt": "login"}}) == (None,)
    assert missing({"auth": shared, "clusterctl": ALLOW}) == (
        "[auth] client_id",
        "[auth] client_secret",
        "[auth] server_metadata_url",
    )
    assert missing({"auth": AUTH | {"cookie_secret": "short"}, "clusterctl": ALLOW}) == (
        "[auth] cookie_secret of at least 32 characters",
    )
    for uri in (
        "https://d.example.com/",
        "d.example.com/oauth2callback",
        "https:///oauth2callback",
        "https://[/oauth2callback",
    ):
        assert missing({"auth": AUTH | {"redirect_uri": uri}, "clusterctl": ALLOW}) == (
            "[auth] redirect_uri like https://dashboard.example.com/oauth2callback",
        )
    assert public_url({"auth": AUTH}) == "https://d.example.com"
    assert missing({"auth": AUTH}) == ("[clusterctl] allowed_emails",)
    assert len(missing({})) == 6


@pytest.mark.parametrize(
    ("user", "enters"),
    [
        ({"email": "Ann@Example.com", "email_verified": "true"}, True),
        ({"email": "ann@example.com", "email_verified": True}, True),
        ({"email": "ann@example.com", "email_verified": False}, False),
        ({"email": "ann@example.com"}, False),
        ({"email": "ann@example.com.evil.org", "email_verified": True}, False),
        ({"email": "", "email_verified": True}, False),
        ({}, False),
    ],
)
def test_only_named_and_verified_addresses_enter(user: dict[str, Any], enters: bool) -> None:
    assert may_enter(user, {"clusterctl": ALLOW}) is enters


def test_a_provider_that_never_says_verified_is_trusted_where_that_is_written() -> None:
    trusting = {"clusterctl": ALLOW | {"assume_verified": True}}
    assert may_enter({"email": "ann@example.com"}, trusting)
    assert not may_enter({"email": "ann@example.com", "email_verified": False}, trusting)


def test_cookies_of_a_login_by_tls_are_for_tls_only() -> None:
    from app.behind_login import Door

    sent: list[Any] = []

    async def streamlit(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"location", b"/"), (b"set-cookie", b"_streamlit_user=x; HttpOnly")]
        await send({"type": "http.response.start", "status": 302, "headers": headers})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/oauth2callback", "query_string": b"code=1"}
    asyncio.run(Door(streamlit, secure=True)(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["headers"] == [(b"location", b"/"), (b"set-cookie", b"_streamlit_user=x; HttpOnly; Secure")]
