"""Secrets of receivers: from a variable of the environment, or from a file that nobody else may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from clusterctl.access import MAX_TOKEN_BYTES
from clusterctl.errors import SpecError
from clusterctl.foreign_files import read_limited


def read_secret(whose: str, *, env: str | None, file: str | None) -> str:
    """The secret, on one line; empty where neither is stated.  Raises SpecError, which never shows it."""
    if env is not None:
        secret = os.environ.get(env, "").strip()
        if not secret:
            raise SpecError(f"{whose}: the variable {env} is not set", hint=f"export {env}=…, or name a file instead")
        return _one_line(whose, f"the variable {env}", secret)
    if file is None:
        return ""
    path = Path(file).expanduser()
    try:
        mode = path.stat().st_mode
        secret = read_limited(path, MAX_TOKEN_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SpecError(f"{whose}: {path} can't be read: {reason}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SpecError(f"{whose}: others may read {path}", hint=f"chmod 600 {path}")
    if not secret:
        raise SpecError(f"{whose}: {path} is empty")
    return _one_line(whose, str(path), secret)


def _one_line(whose: str, where: str, secret: str) -> str:
    if not secret.isprintable():
        raise SpecError(f"{whose}: {where} holds more than one line, or what can't be printed")
    return secret
