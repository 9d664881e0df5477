"""Builds the stand-in for NVML's library and writes its script: what nvidia-ml-py sees is libnvidia-ml.so.1."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_standin.c")
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@functools.cache
def library(*, old_driver: bool = False) -> Path:
    """The folder with the built library.  Skips the test where there is no C compiler."""
    if COMPILER is None:
        pytest.skip("left out: no C compiler to build the stand-in for NVML")
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"clusterctl-nvml-{digest}{'-old' if old_driver else ''}"
    built = folder / "libnvidia-ml.so.1"
    if not built.exists():
        folder.mkdir(exist_ok=True)
        part = folder / f"{id(folder)}.part"
        flags = [
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            *(["-DOLD_DRIVER"] if old_driver else []),
        ]
        subprocess.run([COMPILER, *flags, "-o", str(part), str(SOURCE), "-lpthread"], check=True)
        part.replace(built)
    return folder


@dataclass
class Script:
    """What the stand-in plays; every change is seen at the next call."""

    file: Path
    lines: list[str] = field(default_factory=list)

    def set(self, *lines: str) -> None:
        """Write the whole script, atomically."""
        self.lines = list(lines)
        part = self.file.with_suffix(".part")
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        part.replace(self.file)

    def add(self, *lines: str) -> None:
        """Add settings; a later one wins."""
        self.set(*self.lines, *lines)
