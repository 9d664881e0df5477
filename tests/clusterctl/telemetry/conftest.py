"""The stand-in for NVML, under the real nvidia-ml-py of this process: `script.set("gpus 8", …)`."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from standin import Script, library


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    return _played(library(), tmp_path, monkeypatch)


@pytest.fixture
def old_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """A library without what came after driver 450."""
    return _played(library(old_driver=True), tmp_path, monkeypatch)


def _played(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    import pynvml

    played = Script(tmp_path / "nvml.script")
    played.set("gpus 0")
    monkeypatch.setenv("NVML_SCRIPT", str(played.file))
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(folder / "libnvidia-ml.so.1")))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return played
