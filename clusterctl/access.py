"""Access to servers: from this machine alone, or with a token that a file holds."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from clusterctl.errors import SpecError


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach the address.  A name other than localhost may mean anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def require_token(host: str, token: str | None) -> None:
    """Raises SpecError for an address that others can reach where no token is asked for."""
    if token is None and not is_loopback(host):
        hint = "give a --token-file, or listen on 127.0.0.1"
        raise SpecError(f"{host} can be reached from outside this machine", hint=hint)


def read_token(file: str | Path | None) -> str | None:
    """The token in a file; None without a file.  Raises SpecError for a file that can't be read or is empty."""
    if file is None:
        return None
    try:
        token = Path(file).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SpecError(f"{file}: the token can't be read: {reason}") from error
    if not token:
        raise SpecError(f"{file} is empty", hint="write a long random word into it")
    return token
