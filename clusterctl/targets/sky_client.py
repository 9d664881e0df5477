"""SkyPilot as launcher: its API server and its SDK in a process beside us, which ends with us.

Nothing here waits for SkyPilot: requests are handed to a thread, and `state` says how far they are.  A server is
started when the first request comes, with a HOME, a port and a user id of its own; what is there is read from the
scheduler, never from SkyPilot's notes, so that its whole home may be lost.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterctl.errors import ClusterctlError
from clusterctl.json_text import json_text
from clusterctl.targets.sky_catalog import write_catalog
from clusterctl.targets.sky_errors import ServerLostError, SkyError, sky_error
from clusterctl.targets.sky_processes import await_guard, end_family, skypilot_python

WORKER = Path(__file__).with_name("sky_worker.py")
POLL_SECONDS = 2.0


@dataclass(slots=True)
class SkyRequest:
    """Something that SkyPilot was asked for."""

    call: Mapping[str, Any]
    after: str = ""
    request_id: str = ""
    done: bool = False
    error: SkyError | None = None
    asked_at: float = field(default_factory=time.monotonic)

    @property
    def open(self) -> bool:
        """Whether it has not ended yet."""
        return not self.done and self.error is None


class SkyPilot:
    """One API server and its requests, by keys that the caller chooses."""

    def __init__(self, home: Path, user_id: str, slurm_config: Callable[[], str] | None = None) -> None:
        """home: of the server, made if it is missing.  slurm_config: makes the text of its `~/.slurm/config`."""
        self._home, self._user_id, self._slurm_config = home, user_id, slurm_config
        self._requests: dict[str, SkyRequest] = {}
        self._queue: queue.SimpleQueue[tuple[str, Mapping[str, Any]] | None] = queue.SimpleQueue()
        self._later: list[tuple[str, Mapping[str, Any]]] = []
        """What waits for others; known to the thread alone."""
        self._thread: threading.Thread | None = None
        self._worker: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.trouble = ""
        """Why the server can't be asked; empty while it can."""

    def ask(self, key: str, call: str, *, after: str = "", **arguments: object) -> None:
        """Ask for something, once: a key that is known and has not failed is not asked for again.

        after: key of a request that must be done before.
        """
        with self._lock:
            known = self._requests.get(key)
            if known is not None and known.error is None:
                return
            row = {"call": call, **arguments}
            self._requests[key] = SkyRequest(call=row, after=after)
            self._queue.put((key, row))
            if self._thread is None or not self._thread.is_alive():
                atexit.register(self.end_family)
                self._thread = threading.Thread(target=self._serve, daemon=True)
                self._thread.start()

    def state(self, key: str) -> SkyRequest | None:
        """How far a request is; None where this process has not asked."""
        return self._requests.get(key)

    def cancel(self, key: str) -> None:
        """Stop a request that has not ended, so that nothing comes of it later, and forget it."""
        with self._lock:
            request = self._requests.pop(key, None)
            if request is not None and request.open and request.request_id:
                self._queue.put(("", {"call": "cancel", "request": request.request_id}))

    def close(self) -> None:
        """End the server and everything that it does."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._end_worker()

    def _end_worker(self) -> None:
        """It ends by itself when nobody asks any more; what it has started, and a worker that stays, is killed."""
        worker, self._worker = self._worker, None
        for stream in (worker.stdin, worker.stdout) if worker is not None else ():
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if worker is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=10)
        self.end_family()
        if worker is not None:
            worker.wait()

    def end_family(self) -> None:
        """Kill whatever works in the server's home: when its worker is killed, it stays, at what it was asked for."""
        end_family(self._home)

    def _serve(self) -> None:
        """Hands requests on, and asks how far they are, until it is closed."""
        while True:
            key, row = "", None
            try:
                with contextlib.suppress(queue.Empty):
                    waiting = self._queue.get(timeout=POLL_SECONDS)
                    if waiting is None:
                        return
                    key, row = waiting
                if row is None:
                    if self._worker is not None and self._worker.poll() is not None:
                        raise _lost(_how_it_ended(self._worker.returncode))
                    self._poll()
                    waiting_ones, self._later = self._later, []
                    for item in waiting_ones:
                        self._queue.put(item)
                elif not key or (key in self._requests and self._may_be_sent(key)):  # else it was withdrawn, or waits
                    self._sent(key, str(self._call(row)))
            except ServerLostError as error:
                self._lose_server(error)
            except SkyError as error:
                self._fail(key, error)
            except (OSError, ValueError, ClusterctlError) as error:
                self._lose_server(ServerLostError(f"SkyPilot's server can't be asked: {error}"))

    def _lose_server(self, error: ServerLostError) -> None:
        """What has not ended has failed; the next request starts another server."""
        self.trouble = error.message
        self._end_worker()
        for key in [name for name, request in list(self._requests.items()) if request.open]:
            self._fail(key, error)

    def _may_be_sent(self, key: str) -> bool:
        """Whether what must come before it is done; else it waits, or fails with that.  Raises SkyError."""
        before = self._requests.get(self._requests[key].after)
        if before is None or before.done:
            return True
        if before.error is not None:
            raise before.error
        self._later.append((key, self._requests[key].call))
        return False

    def _sent(self, key: str, request_id: str) -> None:
        """It has an id now, or none where there was nothing to do; what was withdrawn meanwhile is stopped."""
        with self._lock:
            if key in self._requests:
                self._requests[key].request_id = request_id
                self._requests[key].done = not request_id
            elif key:
                self._queue.put(("", {"call": "cancel", "request": request_id}))

    def _fail(self, key: str, error: SkyError) -> None:
        with self._lock:
            if key in self._requests:
                self._requests[key].error = error

    def _poll(self) -> None:
        """How far the requests are that have not ended."""
        open_ones = {r.request_id: key for key, r in list(self._requests.items()) if r.open and r.request_id}
        if not open_ones:
            return
        states = self._call({"call": "states", "requests": sorted(open_ones)})
        for request_id, state in states.items():
            request = self._requests.get(open_ones.get(request_id, ""))
            if request is not None and state == "done":
                request.done = True
            elif request is not None and isinstance(state, dict):
                request.error = sky_error(state["type"], state["text"])

    def _call(self, row: Mapping[str, Any]) -> Any:
        worker = self._worker if self._worker is not None and self._worker.poll() is None else self._start()
        assert worker.stdin is not None
        try:
            worker.stdin.write(json_text(row) + "\n")
            worker.stdin.flush()
        except BrokenPipeError:
            raise _lost(_how_it_ended(worker.wait())) from None
        return _answer(worker)["result"]

    def _start(self) -> subprocess.Popen[str]:
        """The worker and its server, which answer.  Raises SkyError, ClusterctlError, OSError."""
        python = skypilot_python()
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        await_guard(self._home)
        write_catalog(self._home)
        if self._slurm_config is not None:
            (self._home / ".slurm").mkdir(exist_ok=True)
            (self._home / ".slurm" / "config").write_text(self._slurm_config(), "utf-8")
        with (self._home / "worker.log").open("ab") as log:
            worker = subprocess.Popen(  # noqa: S603 - a Python that we chose, and our own program
                [python, str(WORKER)],
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._home,
                text=True,
                start_new_session=True,
            )
        self._worker = worker
        _answer(worker)
        self.trouble = ""
        return worker

    def _environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name] for name in ("PATH", "LANG", "SSH_AUTH_SOCK", "KUBECONFIG") if name in os.environ
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        return kept | {
            "HOME": str(self._home),
            "SKYPILOT_API_SERVER_LOCAL_PORT": port,
            "SKYPILOT_API_SERVER_ENDPOINT": f"http://127.0.0.1:{port}",
            "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
            "SKYPILOT_USER_ID": self._user_id,
            "SKYPILOT_USER": "clusterctl",
            "PIP_NO_BUILD_ISOLATION": "0",  # which pip reads as: no isolation, no internet
            "PYTHONUNBUFFERED": "1",
        }


def _answer(worker: subprocess.Popen[str]) -> dict[str, Any]:
    """The next answer.  Raises SkyError for an error of SkyPilot's, ServerLostError where server or worker has gone."""
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise _lost(_how_it_ended(worker.wait()))
    row: dict[str, Any] = json.loads(line)
    if "lost" in row:
        raise _lost(row["lost"])
    if "error" in row:
        raise sky_error(row["error"]["type"], row["error"]["text"])
    return row


def _lost(why: str) -> ServerLostError:
    return ServerLostError(f"SkyPilot's server was lost: {why}; the next request starts another")


def _how_it_ended(code: int) -> str:
    """As a process says it: a negative exit code is the signal that ended it."""
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}"
