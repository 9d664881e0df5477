"""Go's standard library, compiled once per machine: without it each Go program would compile it again (8 s on 2 cores).

The cache is built from our own program and shown to sandboxes read-only, so that no program can change what others get.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

from clusterctl import paths
from clusterctl.sandbox.languages import LANGUAGES, toolchain

_PACKAGES = """
bufio bytes container/heap container/list encoding/json errors fmt io math math/big math/bits math/rand os reflect
regexp slices sort strconv strings sync/atomic time unicode/utf8
"""


_building = threading.Lock()


def go_cache() -> str | None:
    """The folder of the cache, built if it is not there yet; None when it can't be built."""
    with _building:
        return _built()


@cache
def _built() -> str | None:
    home = paths.user_data_dir() / "sandbox"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".building-") as building:
            environ = LANGUAGES["go"].environ | {"HOME": building, "PATH": toolchain("go").path}
            folder = home / f"go-cache-{_go(['env', 'GOVERSION'], environ)}"
            if not folder.is_dir():
                source, made = Path(building, "main.go"), Path(building, "cache")
                imports = "\n".join(f'import _ "{name}"' for name in _PACKAGES.split())
                source.write_text(f"package main\n{imports}\nfunc main() {{}}\n", encoding="utf-8")
                _go(["build", "-o", "/dev/null", str(source)], environ | {"GOCACHE": str(made)})
                made.chmod(0o755)
                with contextlib.suppress(OSError):  # another process was faster
                    made.rename(folder)
            return str(folder) if folder.is_dir() else None
    except (OSError, subprocess.SubprocessError):
        return None


def _go(words: list[str], environ: dict[str, str]) -> str:
    line = ["go", *words]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=True, timeout=300)  # noqa: S603 - a list
    return done.stdout.strip()
