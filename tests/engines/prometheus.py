"""A Prometheus, or a VictoriaMetrics, of Debian's packages on loopback, with what it is to scrape or a history that was written for it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

DEADLINE_SECONDS = 60


class Prometheus:
    """Started, and ended by `stop`; takes remote-write at `/api/v1/write`."""

    programs: tuple[str, ...] = ("prometheus", "promtool")
    ready = "/-/ready"

    def __init__(self, folder: Path, *, targets: dict[str, list[str]] | None = None, history: str = "") -> None:
        """targets: `host:port` by job, scraped every second.  history: OpenMetrics text with timestamps."""
        for program in self.programs:
            if shutil.which(program) is None:
                pytest.fail(f"{program} is missing: sh tests/engines/install.sh, or Debian's {self.programs[0]}")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.data = folder, folder / "data"
        jobs = [
            {
                "job_name": job,
                "static_configs": [
                    {"targets": hosts, "labels": {"pod": "dcgm-exporter-x7", "namespace": "gpu-operator"}}
                ],
            }
            for job, hosts in (targets or {}).items()
        ]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        if history:
            self.before(history)
        self.process = subprocess.Popen(self.command(address), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()
        if history:
            self.after(history)

    def _wait(self) -> None:
        until = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}{self.ready}", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        self.stop()
        pytest.fail(f"{self.programs[0]} does not start: {' '.join(map(str, self.process.args))}")

    def command(self, address: str) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.data}",
            f"--web.listen-address={address}",
            "--web.enable-remote-write-receiver",
        ]

    def before(self, history: str) -> None:
        """Take what was, before the start."""
        file = self.folder / "history"
        file.write_text(history + "# EOF\n")
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(self.data)]
        subprocess.run(command, check=True, capture_output=True)

    def after(self, history: str) -> None:
        """Take what was, after the start."""

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class VictoriaMetrics(Prometheus):
    """What answers as one."""

    programs = ("victoria-metrics", "vmagent")
    ready = "/health"

    def command(self, address: str) -> list[str]:
        return [
            "victoria-metrics",
            f"-promscrape.config={self.folder}/prometheus.yml",
            f"-storageDataPath={self.data}",
            f"-httpListenAddr={address}",
            "-search.latencyOffset=1s",
            "-search.disableCache",
        ]

    def before(self, history: str) -> None:
        pass

    def after(self, history: str) -> None:
        in_ms = re.sub(r" (\d+)$", r" \g<1>000", history, flags=re.MULTILINE)
        assert httpx.post(f"{self.url}/api/v1/import/prometheus", content=in_ms, trust_env=False).is_success
        assert httpx.get(f"{self.url}/internal/force_flush", trust_env=False).is_success


SERVERS = (Prometheus, VictoriaMetrics)
