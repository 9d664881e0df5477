"""Who may open the dashboard: anybody on this machine; from elsewhere, whom an identity provider knows and we name."""

from __future__ import annotations

import ipaddress
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from clusterctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SECTION = "auth"
SHARED_KEYS = ("redirect_uri", "cookie_secret")
PROVIDER_KEYS = ("client_id", "client_secret", "server_metadata_url")
ALLOWED = "allowed_emails"
MIN_COOKIE_SECRET = 32
HINT = (
    "write [auth] with redirect_uri, cookie_secret, client_id, client_secret, server_metadata_url, and [clusterctl]"
    " with allowed_emails into FILE (docs/dashboard.md), or leave out --host and use an SSH tunnel"
)


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach the address.  A name other than localhost may mean anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def missing(secrets: Mapping[str, Any]) -> tuple[str, ...]:
    """What Streamlit's OIDC login and our list of people lack in `secrets.toml`; empty = complete."""
    auth = secrets.get(SECTION) or {}
    lacking = [f"[auth] {key}" for key in SHARED_KEYS if not auth.get(key)]
    named = [value for value in auth.values() if hasattr(value, "get")]
    providers = named or [auth]
    if not any(all(provider.get(key) for key in PROVIDER_KEYS) for provider in providers):
        lacking += [f"[auth] {key}" for key in PROVIDER_KEYS if not any(provider.get(key) for provider in providers)]
    if auth.get("cookie_secret") and len(str(auth["cookie_secret"])) < MIN_COOKIE_SECRET:
        lacking.append(f"[auth] cookie_secret of at least {MIN_COOKIE_SECRET} characters")
    if not patterns(secrets):
        lacking.append(f"[clusterctl] {ALLOWED}")
    return tuple(dict.fromkeys(lacking))


def patterns(secrets: Mapping[str, Any]) -> tuple[str, ...]:
    """The e-mail addresses that may log in; `*` stands for anything."""
    found = (secrets.get("clusterctl") or {}).get(ALLOWED) or ()
    return (found,) if isinstance(found, str) else tuple(str(pattern) for pattern in found)


def may_enter(user: Mapping[str, Any], allowed: Iterable[str]) -> bool:
    """Whether the provider vouches for the person's address and we name it."""
    email = str(user.get("email") or "").lower()
    verified = user.get("email_verified", True)  # some providers verify all and leave the claim out
    return bool(email) and verified in (True, "true") and any(fnmatch(email, p.lower()) for p in allowed)


def refuse_open_doors(host: str, files: Iterable[Path]) -> None:
    """Raise SpecError when others could reach the dashboard and no login is configured in any of `files`."""
    import tomllib

    if is_loopback(host):
        return
    found: dict[str, Any] = {}
    known = list(files)
    for file in known:
        if file.is_file():
            try:
                found |= tomllib.loads(file.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise SpecError(f"{file}: can't be read: {error}", hint="correct it") from None
    lacking = missing(found)
    if lacking:
        raise SpecError(
            f"--host {host} would show the dashboard to others without a login: {', '.join(lacking)} is missing",
            hint=HINT.replace("FILE", str(known[-1])),
        )
