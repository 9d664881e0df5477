"""SkyPilot's SDK in a process of its own: `PYTHON sky_worker.py`, started by path, in an environment that has SkyPilot.

It reads requests as JSON lines from standard input and answers each with one line.  SkyPilot's API server is its child:
both end with the process that started them, however it ends.  HOME and port come from the environment.

`PYTHON sky_worker.py guard` is the process beside it that ends what the server has started once the worker is gone: the
server's executors outlive both, and where the whole supervisor was killed nobody may come to this node again.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import urllib.request
from pathlib import Path
from typing import Any

SET_PARENT_DEATH_SIGNAL = 1
GUARD = "guard"
GUARD_LOCK = "guard.lock"
"""In the server's home: locked while a guard lives, so that it ends nothing of the worker after its own."""
START_SECONDS = 240
"""For the API server to answer; 8 s on an idle machine, 80 s on a very busy one."""


class EndedError(RuntimeError):
    """The API server has ended."""

    def __init__(self, code: int) -> None:
        super().__init__(f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}")


class Worker:
    """One API server and its client."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._server = self._start(port)
        import sky  # after the server: both take seconds, side by side

        self._sky: Any = sky
        self._wait()

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        log = os.open(Path.home() / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        environment = {**os.environ, "IS_SKYPILOT_SERVER": "true"}
        command = [sys.executable, "-u", "-m", "sky.server.server", "--host=127.0.0.1", f"--port={port}"]
        return subprocess.Popen(  # noqa: S603 - our own Python
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path.home(),
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - there are no threads yet
        )

    def _wait(self) -> None:
        until, health = time.monotonic() + START_SECONDS, f"{self._url}/api/health"
        while time.monotonic() < until:
            self.check()
            with contextlib.suppress(OSError), urllib.request.urlopen(health, timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
            time.sleep(0.3)
        raise RuntimeError(f"it did not answer within {START_SECONDS} s")

    def check(self) -> None:
        """Raises EndedError where the server has ended."""
        if self._server.poll() is not None:
            raise EndedError(self._server.returncode)

    def launch(self, name: str, task: dict[str, Any], idle_minutes: int | None) -> str:
        """Begin to make a cluster; id of the request."""
        idle = {} if idle_minutes is None else {"idle_minutes_to_autostop": idle_minutes, "down": True}
        return str(self._sky.launch(self._sky.Task.from_yaml_config(task), cluster_name=name, **idle))

    def exec(self, name: str, task: dict[str, Any]) -> str:
        """Begin to run a job on a cluster; id of the request."""
        return str(self._sky.exec(self._sky.Task.from_yaml_config(task), cluster_name=name))

    def cancel(self, request: str) -> str:
        """Stop a request that has not ended."""
        return str(self._sky.api_cancel(request, silent=True))

    def autodown(self, name: str, idle_minutes: int) -> str:
        """Have a cluster end by itself when it is idle; id of the request, empty where that is so already."""
        known = self._sky.get(self._sky.status(cluster_names=[name]))
        if all(row.autostop == idle_minutes and row.to_down for row in known):
            return ""
        return str(self._sky.autostop(name, idle_minutes, down=True))

    def down(self, name: str) -> str:
        """Begin to end a cluster; id of the request."""
        return str(self._sky.down(name))

    def states(self, requests: list[str]) -> dict[str, Any]:
        """By request: `running`, `done`, or the error that ended it."""
        found: dict[str, Any] = {}
        for row in self._sky.api_status(request_ids=requests, all_status=True):
            status = str(getattr(row.status, "value", row.status))
            if status in {"PENDING", "WAITING", "RUNNING"}:
                found[row.request_id] = "running"
            elif status == "SUCCEEDED":
                found[row.request_id] = "done"
            else:
                found[row.request_id] = self._error(row.request_id, status)
        return found

    def _error(self, request: str, status: str) -> dict[str, str]:
        try:
            self._sky.get(request)
        except Exception as error:  # noqa: BLE001 - what ended the request is raised here again, whatever it is
            return _described(error)
        return {"type": status, "text": f"the request was {status.lower()}"}

    def close(self) -> None:
        """End the API server with all that it started."""
        end_family()


def end_family() -> None:
    """Kill whatever else works in the server's home, also where the server has ended before what it started."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.cwd() == str(Path.home().resolve()):
                process.kill()


def start_guard() -> None:
    """A process that notices the end of this one: the other end of its standard input, which this one alone holds."""
    read, _ = os.pipe()
    lock = os.open(Path.home() / GUARD_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    command = [sys.executable, __file__, GUARD]
    subprocess.Popen(  # noqa: S603
        command, stdin=read, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True, pass_fds=(lock,)
    )
    os.close(read)
    os.close(lock)


def guard() -> None:
    """Waits for the worker's end.  The second look finds what was being started at the first."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.read(0, 1)
    end_family()
    time.sleep(0.5)
    end_family()


def _described(error: BaseException) -> dict[str, str]:
    """Its type and text, and before that the text of what it came from."""
    causes = [str(cause) for cause in getattr(error, "failover_history", ())]
    return {"type": type(error).__name__, "text": "\n".join([*causes, str(error)])}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def main() -> None:
    """Answers until its standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what SkyPilot prints is no answer

    def answer(**row: object) -> None:
        answers.write(json.dumps(row) + "\n")
        answers.flush()

    start_guard()
    worker = None
    try:
        worker = Worker(int(os.environ["SKYPILOT_API_SERVER_LOCAL_PORT"]))
        answer(ready=True)
        for line in sys.stdin:
            worker.check()
            request = json.loads(line)
            try:
                answer(result=getattr(worker, request.pop("call"))(**request))
            except Exception as error:  # noqa: BLE001 - SkyPilot may raise anything; whoever asked is told
                worker.check()
                answer(error=_described(error))
    except Exception as error:  # noqa: BLE001 - whoever asked is told why it ends
        traceback.print_exc()
        answer(lost=str(error))
    finally:
        if worker is not None:
            worker.close()


if __name__ == "__main__":
    sys.path[:] = [path for path in sys.path if path != str(Path(__file__).resolve().parent)]  # not our own names
    guard() if sys.argv[1:] == [GUARD] else main()
