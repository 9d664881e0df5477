"""A Prometheus of Debian's package, on loopback, with what it is to scrape or with a history that was written for it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

DEADLINE_SECONDS = 60


class Prometheus:
    """Started, and ended by `stop`."""

    def __init__(
        self, folder: Path, *, targets: dict[str, list[str]] | None = None, history: str = "", receives: bool = False
    ) -> None:  # fmt: skip
        """targets: `host:port` by job, scraped every second.  history: OpenMetrics text with timestamps.
        receives: also what is pushed by remote-write."""
        for program in ("prometheus", "promtool"):
            if shutil.which(program) is None:
                pytest.fail(f"{program} is missing: sh tests/engines/install.sh, or Debian's package prometheus")
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "data"
        if history:
            (folder / "history").write_text(history + "# EOF\n")
            command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "history"), str(data)]
            subprocess.run(command, check=True, capture_output=True)
        jobs = [{"job_name": job, "static_configs": [{"targets": hosts, "labels": {"pod": "dcgm-exporter-x7", "namespace": "gpu-operator"}}]}
                for job, hosts in (targets or {}).items()]  # fmt: skip
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={data}",
             f"--web.listen-address=127.0.0.1:{port}", *(["--web.enable-remote-write-receiver"] if receives else [])],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/-/ready", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        self.stop()
        pytest.fail(f"prometheus does not start: {' '.join(map(str, self.process.args))}")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
