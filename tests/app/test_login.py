"""Who may enter."""

from __future__ import annotations

from typing import Any

import pytest

from clusterctl.dashboard.login import is_loopback, may_enter, missing, patterns

AUTH = {
    "redirect_uri": "https://d.example.com/oauth2callback", "cookie_secret": "x" * 40, "client_id": "a",
    "client_secret": "b", "server_metadata_url": "https://id.example.com/.well-known/openid-configuration",
}  # fmt: skip
ALLOW = {"allowed_emails": ["*@example.com"]}


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("example.com", False), ("", False), (None, False), ("127.0.0.1.example.com", False)],
)  # fmt: skip
def test_loopback_is_what_only_this_machine_reaches(host: str | None, only_here: bool) -> None:
    assert is_loopback(host) is only_here


def test_what_a_login_lacks_is_named() -> None:
    assert missing({"auth": AUTH, "clusterctl": ALLOW}) == ()
    shared = {key: AUTH[key] for key in ("redirect_uri", "cookie_secret")}
    provider = {key: AUTH[key] for key in ("client_id", "client_secret", "server_metadata_url")}
    assert missing({"auth": {**shared, "google": provider}, "clusterctl": ALLOW}) == ()
    assert missing({"auth": shared, "clusterctl": ALLOW}) == (
        "[auth] client_id", "[auth] client_secret", "[auth] server_metadata_url",
    )  # fmt: skip
    assert missing({"auth": AUTH | {"cookie_secret": "short"}, "clusterctl": ALLOW}) == (
        "[auth] cookie_secret of at least 32 characters",
    )
    assert missing({"auth": AUTH}) == ("[clusterctl] allowed_emails",)
    assert len(missing({})) == 6


@pytest.mark.parametrize(
    ("user", "enters"),
    [({"email": "Ann@Example.com"}, True), ({"email": "ann@example.com", "email_verified": True}, True),
     ({"email": "ann@example.com", "email_verified": False}, False), ({"email": "ann@example.com.evil.org"}, False),
     ({"email": ""}, False), ({}, False)],
)  # fmt: skip
def test_only_named_and_verified_addresses_enter(user: dict[str, Any], enters: bool) -> None:
    assert may_enter(user, patterns({"clusterctl": ALLOW})) is enters
