"""Access to servers: from this machine alone, or with a token that a file holds."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from clusterctl.errors import SpecError
from clusterctl.foreign_files import read_limited

MAX_TOKEN_BYTES = 64 << 10
"""Of a file with a token: the longest, with signatures, take a few KiB."""


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach the address.  A name other than localhost may mean anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_own_host(said: str, host: str, port: int) -> bool:
    """Whether the Host of a request means the server on `host` and `port`: by a loopback name, or the one it was given.

    A web page whose name was made to lead here says its own.  A server on all addresses has a token, and can't know
    its names.
    """
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        return True
    parts = re.fullmatch(r"(?:\[([0-9a-f:]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?", said.lower())
    if parts is None or int(parts[3] or 80) != port:
        return False
    name = parts[1] or parts[2]
    return is_loopback(name) or name == host.lower()


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
        token = read_limited(file, MAX_TOKEN_BYTES, pipe=True).decode().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SpecError(f"{file}: the token can't be read: {reason}") from error
    if not token:
        raise SpecError(f"{file} is empty", hint="write a long random word into it")
    return token


def without_token(url: str) -> str:
    """`url` to be shown: without the user and the password that may stand in it."""
    return re.sub(r"//[^/@]*@", "//", url)
