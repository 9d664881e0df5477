"""Who may open the dashboard: anybody on this machine; from elsewhere, whom an identity provider knows and we name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clusterctl.access import is_loopback
from clusterctl.errors import SpecError
from clusterctl.foreign_files import read_limited

SECTION = "auth"
SHARED_KEYS = ("redirect_uri", "cookie_secret")
PROVIDER_KEYS = ("client_id", "client_secret", "server_metadata_url")
CALLBACK = "/oauth2callback"
"""The one path that Streamlit lets a provider send people back to."""
ALLOWED = "allowed_emails"
ASSUME_VERIFIED = "assume_verified"
MIN_COOKIE_SECRET = 32
HINT = (
    "write [auth] with redirect_uri, cookie_secret, client_id, client_secret, server_metadata_url, and [clusterctl]"
    " with allowed_emails into FILE (docs/dashboard.md), or leave out --host and use an SSH tunnel"
)


def missing(secrets: Mapping[str, Any]) -> tuple[str, ...]:
    """What Streamlit's OIDC login and our list of people lack in `secrets.toml`; empty = complete."""
    auth = secrets.get(SECTION) or {}
    lacking = [f"[auth] {key}" for key in SHARED_KEYS if not auth.get(key)]
    for name in providers(auth):
        of, section = (auth, SECTION) if name is None else (auth[name], f"{SECTION}.{name}")
        lacking += [f"[{section}] {key}" for key in PROVIDER_KEYS if not of.get(key)]
    if auth.get("redirect_uri") and not _is_callback(auth["redirect_uri"]):
        lacking.append(f"[auth] redirect_uri like https://dashboard.example.com{CALLBACK}")
    if auth.get("cookie_secret") and len(str(auth["cookie_secret"])) < MIN_COOKIE_SECRET:
        lacking.append(f"[auth] cookie_secret of at least {MIN_COOKIE_SECRET} characters")
    if not patterns(secrets):
        lacking.append(f"[clusterctl] {ALLOWED}")
    return tuple(lacking)


def providers(auth: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Names of the identity providers of `[auth]`; None is the one that has no section of its own."""
    named = tuple(name for name, value in auth.items() if hasattr(value, "get") and name != "client_kwargs")
    return (None, *named) if not named or any(key in auth for key in PROVIDER_KEYS) else named


def patterns(secrets: Mapping[str, Any]) -> tuple[str, ...]:
    """The e-mail addresses that may log in; `*` stands for anything."""
    found = _own(secrets).get(ALLOWED) or ()
    return (found,) if isinstance(found, str) else tuple(str(pattern) for pattern in found)


def may_enter(user: Mapping[str, Any], secrets: Mapping[str, Any]) -> bool:
    """Whether the provider vouches for the person's address and we name it.

    A provider that does not say whether an address is verified may let people choose any: then `assume_verified`.
    """
    email = str(user.get("email") or "").lower()
    verified = user.get("email_verified", _own(secrets).get(ASSUME_VERIFIED) is True)
    return bool(email) and verified in (True, "true") and any(fnmatch(email, p.lower()) for p in patterns(secrets))


def public_url(secrets: Mapping[str, Any]) -> str:
    """Where people come in: where the provider sends them back to."""
    return str(secrets[SECTION]["redirect_uri"]).removesuffix(CALLBACK)


def require_login(host: str, files: Iterable[Path]) -> str | None:
    """The public URL of a dashboard that others can reach; None where only this machine can.

    Raises SpecError when others could reach it and no login is configured in any of `files`, or others can read them.
    """
    import tomllib

    if is_loopback(host):
        return None
    found: dict[str, Any] = {}
    known = list(files)
    for file in known:
        if file.is_file():
            try:
                found |= tomllib.loads(read_limited(file, 1 << 20).decode())
                exposed = _is_exposed(file)
            except (OSError, ValueError) as error:
                raise SpecError(f"{file}: can't be read: {error}", hint="correct it") from None
            if exposed:
                raise SpecError(f"{file}: everybody on this machine can read its secrets", hint=f"chmod 600 {file}")
    lacking = missing(found)
    if lacking:
        raise SpecError(
            f"--host {host} would show the dashboard to others without a login: {', '.join(lacking)} is missing",
            hint=HINT.replace("FILE", str(known[-1])),
        )
    return public_url(found)


def _own(secrets: Mapping[str, Any]) -> Mapping[str, Any]:
    return secrets.get("clusterctl") or {}


def _is_callback(uri: object) -> bool:
    try:
        parts = urlsplit(str(uri))
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.path == CALLBACK


def _is_exposed(file: Path) -> bool:
    """Whether others may read it, and enter every folder that it lies in."""
    path = file.resolve()
    return bool(path.stat().st_mode & 0o004) and all(folder.stat().st_mode & 0o001 for folder in path.parents)
