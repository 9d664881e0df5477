"""The dashboard's process: at most one per data folder, found by the lock that it holds, stopped by its address."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from clusterctl.dashboard.login import refuse_open_doors
from clusterctl.errors import ClusterctlError, SpecError, StateError
from clusterctl.paths import bundle_root
from clusterctl.specfile.write import write_atomic
from clusterctl.targets.processes import alive, end, running, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_PORT, PORTS = 8501, 20
"""Streamlit's own port, and how many after it are tried when none is asked for."""
START_SECONDS = 60.0
STOP_GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a dashboard is, and which process it is (pid:start time)."""

    url: str
    host: str
    port: int
    address: str


@dataclass(frozen=True, slots=True)
class Place:
    """The dashboard's folder: lock, door, log, `.streamlit/secrets.toml`."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by the live dashboard, and holding its address."""
        return self.folder / "dashboard.lock"

    @property
    def log(self) -> Path:
        """What Streamlit says."""
        return self.folder / "dashboard.log"

    def secrets(self) -> tuple[Path, Path]:
        """Where Streamlit looks for `secrets.toml`; the later one wins."""
        return Path.home() / ".streamlit" / "secrets.toml", self.folder / ".streamlit" / "secrets.toml"

    def door(self) -> Door | None:
        """The live dashboard, or None.  A note that outlived its process counts for nothing."""
        try:
            door = Door(**json.loads((self.folder / "dashboard.json").read_text("utf-8")))
            return door if door.address == self.lock.read_text("ascii") and alive(door.address) else None
        except (OSError, ValueError, TypeError):
            return None

    def clear(self) -> None:
        """End whatever holds the lock: a dashboard whose starter died before it wrote the door down."""
        with contextlib.suppress(OSError, ValueError):
            end(self.lock.read_text("ascii"), grace_seconds=STOP_GRACE_SECONDS)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One start or stop at a time."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = (self.folder / "starting.lock").open("a")
        except OSError as error:
            hint = "CLUSTERCTL_HOME names another data folder"
            raise StateError(f"{self.folder} can't be written: {error.strerror}", hint=hint) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def start(place: Place, *, host: str, port: int | None, sample: bool) -> tuple[Door, bool]:
    """(the live dashboard, whether it was started now).  Takes over one that lives, replaces one that has died.

    Raises SpecError (no login, port taken), StateError (another address is served already), ClusterctlError.
    """
    _need_streamlit()
    public = refuse_open_doors(host, place.secrets())
    with place.alone():
        old = place.door()
        if old is not None:
            if old.host != host or port not in (None, old.port):
                raise StateError(f"a dashboard runs at {old.url}", hint="`clusterctl dashboard --stop` first")
            return _for(old, sample=sample), False
        place.clear()
        chosen = _free_port(host, port)
        command = _command(place, host, chosen, public)
        pid = spawn(command, folder=place.folder, environment=_environment(), log=place.log)
        door = Door(url=public or _url(host, chosen), host=host, port=chosen, address=_wait(place, pid, host, chosen))
        write_atomic(place.folder / "dashboard.json", json.dumps(asdict(door)) + "\n")
        return _for(door, sample=sample), True


def stop(place: Place) -> Door | None:
    """End the dashboard; the door that is now closed, or None where none was open."""
    with place.alone():
        door = place.door()
        place.clear()
        return door


def follow(door: Door) -> None:
    """Return when the dashboard has gone."""
    while alive(door.address):
        time.sleep(0.5)


def _for(door: Door, *, sample: bool) -> Door:
    return Door(**asdict(door) | {"url": f"{door.url}/?data=simulated" if sample else door.url})


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
            raise SpecError(f"--host {host} is no address of this machine") from None
        except OSError as error:
            reason = error.strerror
    tried = f"port {wanted}" if wanted is not None else f"each port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    raise SpecError(f"{host} {tried} can't be used: {reason}", hint="name another with --port")


def _command(place: Place, host: str, port: int, public: str | None) -> list[str]:
    """Streamlit under the lock.  What guards the door is said here, where no settings file can change it."""
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
    return [sys.executable, "-P", "-m", "clusterctl.targets.holder", str(place.lock), *program]


def _environment() -> dict[str, str]:
    """This terminal's, less Streamlit's settings, which would win over ours; imports begin at the bundled programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    return kept | {"PYTHONPATH": str(bundle_root()), "PYTHONUNBUFFERED": "1"}


def _wait(place: Place, pid: int, host: str, port: int) -> str:
    """The address of the process, once it answers."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    url = f"{_url(local, port)}/_stcore/health"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running(pid):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310 - http
            if answer.status == 200:
                return place.lock.read_text("ascii")
        time.sleep(POLL_SECONDS)
    if running(pid):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            os.killpg(pid, 15)
    raise ClusterctlError("the dashboard did not start", hint=f"{place.log} says why: {_tail(place.log)}")


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it is empty"
    return "it can't be read"
