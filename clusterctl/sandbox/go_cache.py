"""Go's standard library, compiled once per machine: without it each Go program would compile it again (8 s on 2 cores).

The cache is built from our own program and shown to sandboxes read-only, so that no program can change what others get.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl import paths

if TYPE_CHECKING:
    from clusterctl.sandbox.process import Task

_PACKAGES = (
    "bufio bytes cmp container/heap container/list encoding/json errors fmt io math math/big math/bits math/rand os "
    "reflect regexp slices maps sort strconv strings sync sync/atomic time unicode unicode/utf8"
).split()
_THERE = "/go-cache"
_BUILD_SECONDS = 300
_lock = threading.Lock()


def shown(compiler: Task) -> Task:
    """`compiler` with the cache in its sandbox."""
    with _lock:
        here = _folder(shutil.which("go", path=compiler.toolchain.path) or shutil.which("go") or "go")
    if here is None:
        return replace(compiler, environ=(*compiler.environ, ("GOCACHE", "/tmp/go-cache")))  # noqa: S108
    chain = replace(compiler.toolchain, folders=(*compiler.toolchain.folders, (str(here), _THERE)))
    return replace(compiler, toolchain=chain, environ=(*compiler.environ, ("GOCACHE", _THERE)))


@cache
def _folder(go: str) -> Path | None:
    """The cache of this Go release, built if it is not there yet; None when it can't be built."""
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    folder = paths.user_data_dir() / "sandbox" / f"go-cache-{version or 'unknown'}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as building:
        source = Path(building, "main.go")
        imports = "\n".join(f'import _ "{name}"' for name in _PACKAGES)
        source.write_text(f"package main\n{imports}\nfunc main() {{}}\n", encoding="utf-8")
        environ = {"HOME": building, "PATH": str(Path(go).parent), "GOCACHE": f"{building}/cache", "CGO_ENABLED": "0"}
        line = [go, "build", "-o", f"{building}/main", str(source)]
        try:
            subprocess.run(line, env=environ, capture_output=True, check=True, timeout=_BUILD_SECONDS)
            Path(building, "cache").chmod(0o755)
            Path(building, "cache").rename(folder)
        except (OSError, subprocess.SubprocessError):
            return folder if folder.is_dir() else None  # another process was faster, or it has to do without
    return folder
