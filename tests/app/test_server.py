"""`clusterctl dashboard` with a real Streamlit: starts one, finds it again, replaces a dead one, stops it; or refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clusterctl.dashboard.login import require_login
from clusterctl.errors import SpecError

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dashboard(clusterctl: Run, made_sample: Path, tmp_path: Path) -> Iterator[Run]:
    """The command on an empty home; whatever it leaves running is stopped."""
    home = str(tmp_path / "data")
    yield lambda *args: clusterctl("dashboard", *args, CLUSTERCTL_HOME=home, PYTHONWARNINGS="default")
    clusterctl("dashboard", "--stop", CLUSTERCTL_HOME=home)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def healthy(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/_stcore/health", timeout=60) as answer:
        return answer.status == 200


def test_it_starts_is_found_again_survives_a_kill_and_stops(dashboard: Run, tmp_path: Path) -> None:
    port = free_port()
    first = dashboard("--background", "--port", str(port))
    assert first.stdout == f"http://127.0.0.1:{port}\n", first.stderr
    assert "`clusterctl dashboard --stop` stops it" in first.stderr
    assert healthy(first.stdout.strip())
    again = json.loads(dashboard("--background", "--json").stdout)
    assert again == {"url": first.stdout.strip(), "started": False, "stop": "clusterctl dashboard --stop"}
    other = dashboard("--background", "--port", str(free_port()))
    assert (other.returncode, "a dashboard runs at" in other.stderr) == (5, True)
    lock = tmp_path / "data" / "dashboard" / "dashboard.lock"
    os.kill(int(lock.read_text().partition(":")[0]), signal.SIGKILL)
    replaced = json.loads(dashboard("--background", "--json", "--port", str(port)).stdout)
    assert replaced["started"]
    assert dashboard("--stop").stdout == f"stopped the dashboard at {first.stdout}"
    assert dashboard("--stop").stdout == "no dashboard runs\n"
    with pytest.raises(OSError, match="refused"):
        healthy(f"http://127.0.0.1:{port}")


def test_a_data_folder_that_can_t_be_written(clusterctl: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = clusterctl("dashboard", "--background", CLUSTERCTL_HOME=str(tmp_path / "file"))
    assert (done.returncode, f"{tmp_path}/file/dashboard can't be written: Not a directory" in done.stderr) == (5, True)


def test_a_port_that_is_taken(dashboard: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = dashboard("--background", "--port", str(taken.getsockname()[1]))
    assert (done.returncode, "can't be used" in done.stderr) == (2, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "node-1.example.com", ""])
def test_beyond_this_machine_it_wants_a_login(dashboard: Run, host: str) -> None:
    done = dashboard("--background", "--host", host)
    assert done.returncode == 2
    assert "[auth] redirect_uri" in done.stderr
    assert "secrets.toml" in done.stderr


def test_secrets_that_are_damaged_or_that_others_can_read(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text("[auth\n")
    with pytest.raises(SpecError, match="can't be read"):
        require_login("0.0.0.0", [secrets])
    secrets = Path(tempfile.mkdtemp()) / "secrets.toml"
    try:
        secrets.write_text("[auth]\n")
        secrets.chmod(0o644)
        secrets.parent.chmod(0o755)
        with pytest.raises(SpecError, match="everybody on this machine can read") as caught:
            require_login("::", [secrets])
        assert caught.value.hint == f"chmod 600 {secrets}"
        secrets.parent.chmod(0o700)
        with pytest.raises(SpecError, match="is missing"):
            require_login("::", [secrets])
    finally:
        shutil.rmtree(secrets.parent)
