"""The dashboard's process: at most one per data folder, found by the lock that it holds, stopped by its address."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from filelock import FileLock

from clusterctl.dashboard.login import require_login
from clusterctl.errors import ClusterctlError, SpecError, StateError
from clusterctl.foreign_files import read_tail
from clusterctl.json_text import json_text
from clusterctl.paths import bundle_root
from clusterctl.specfile.write import write_atomic
from clusterctl.targets.processes import alive, ask, end, spawn

FIRST_PORT, PORTS = 8501, 20
"""Streamlit's own port, and how many after it are tried when none is asked for."""
START_SECONDS = 60.0
STOP_GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDashboard:
    url: str
    host: str
    port: int
    address: str
    """Of its process: pid:start time."""


@dataclass(frozen=True, slots=True)
class DashboardFolder:
    """Lock, log and settings of the dashboard of a data folder."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the live dashboard, and holding its address."""
        return self.path / "dashboard.lock"

    @property
    def log(self) -> Path:
        return self.path / "dashboard.log"

    def secrets(self) -> tuple[Path, Path]:
        """Where Streamlit looks for `secrets.toml`; the later one wins."""
        return Path.home() / ".streamlit" / "secrets.toml", self.path / ".streamlit" / "secrets.toml"

    def running(self) -> RunningDashboard | None:
        """The live dashboard, or None.  A file that outlived its process counts for nothing."""
        try:
            noted = RunningDashboard(**json.loads(read_tail(self.path / "dashboard.json", 4096)))
            return noted if noted.address == self.lock.read_text("ascii") and alive(noted.address) else None
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def clear(self) -> None:
        """End whatever holds the lock: also a dashboard whose starter died before it noted its URL."""
        with contextlib.suppress(OSError, ValueError):
            end(self.lock.read_text("ascii"), grace_seconds=STOP_GRACE_SECONDS)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self.path / "starting.lock").acquire()
        except OSError as error:
            hint = "CLUSTERCTL_HOME names another data folder"
            raise StateError(f"{self.path} can't be written: {error.strerror}", hint=hint) from error
        with lock:
            yield


def start(folder: DashboardFolder, *, host: str, port: int | None, sample: bool) -> tuple[RunningDashboard, bool]:
    """(the live dashboard, whether it was started now).  Takes over one that lives, replaces one that has died.

    Raises SpecError (no login, port taken), StateError (another address is served already), ClusterctlError.
    """
    _need_streamlit()
    public = require_login(host, folder.secrets())
    with folder.alone():
        old = folder.running()
        if old is not None:
            if old.host != host or port not in (None, old.port):
                raise StateError(f"a dashboard runs at {old.url}", hint="`clusterctl dashboard --stop` first")
            return _for(old, sample=sample), False
        folder.clear()
        chosen = _free_port(host, port)
        command = _command(folder, host, chosen, public)
        process = spawn(command, folder=folder.path, environment=_environment(), log=folder.log)
        address = _wait(folder, process, host, chosen)
        started = RunningDashboard(url=public or _url(host, chosen), host=host, port=chosen, address=address)
        write_atomic(folder.path / "dashboard.json", json_text(asdict(started)) + "\n")
        return _for(started, sample=sample), True


def stop(folder: DashboardFolder) -> RunningDashboard | None:
    """End the dashboard; what was stopped, or None where none ran."""
    with folder.alone():
        stopped = folder.running()
        folder.clear()
        return stopped


def follow(dashboard: RunningDashboard) -> None:
    """Return when the dashboard has gone."""
    while alive(dashboard.address):
        time.sleep(0.5)


def _for(dashboard: RunningDashboard, *, sample: bool) -> RunningDashboard:
    return replace(dashboard, url=f"{dashboard.url}/?data=simulated") if sample else dashboard


def _need_streamlit() -> None:
    from importlib.util import find_spec

    if find_spec("streamlit") is None:
        raise ClusterctlError("the dashboard needs Streamlit", hint="pip install 'clusterctl[dashboard]'")


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else quote(host)}:{port}"


def _free_port(host: str, wanted: int | None) -> int:
    for port in range(FIRST_PORT, FIRST_PORT + PORTS) if wanted is None else (wanted,):
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                return int(probe.getsockname()[1])
        except socket.gaierror:
            raise SpecError(f"--host {host} is not an address of this machine") from None
        except OSError as error:
            reason = error.strerror
    tried = f"port {wanted}" if wanted is not None else f"each port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    raise SpecError(f"{host} {tried} can't be used: {reason}", hint="name another with --port")


def _command(folder: DashboardFolder, host: str, port: int, public: str | None) -> list[str]:
    """Streamlit, which holds the lock.  Who may open it is said here, where no settings file can change it."""
    seen = urlsplit(public or "").hostname or host  # whose pages may open the websocket
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": seen,
        "server.enableCORS": "true",
        "server.enableXsrfProtection": "true",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "global.developmentMode": "false",
        "runner.magicEnabled": "false",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    if public is None:  # a web page elsewhere may resolve its own name to 127.0.0.1
        flags += [part for name in ("localhost", "127.0.0.1", "::1") for part in ("--server.allowedHosts", name)]
    script = "main.py" if public is None else "behind_login.py"
    program = [sys.executable, "-P", str(bundle_root() / "app" / "serve.py"), script, *flags]
    return [sys.executable, "-P", "-m", "clusterctl.dashboard.lock_holder", str(folder.lock), *program]


def _environment() -> dict[str, str]:
    """This terminal's, less Streamlit's settings, which would win over ours; imports begin at the bundled programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    return kept | {"PYTHONPATH": str(bundle_root()), "PYTHONUNBUFFERED": "1"}


def _wait(folder: DashboardFolder, process: str, host: str, port: int) -> str:
    """The address of the process, once it answers."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    url = f"{_url(local, port)}/_stcore/health"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and alive(process):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310 - http
            if answer.status == 200:
                return folder.lock.read_text("ascii")
        time.sleep(POLL_SECONDS)
    ask(process)
    raise ClusterctlError("the dashboard did not start", hint=f"{folder.log} says why: {_tail(folder.log)}")


def _tail(log: Path) -> str:
    lines = [line for line in read_tail(log, 4096).splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it is empty"
