"""What the sandbox server counts, in Prometheus' text format."""

from __future__ import annotations

import threading

BUCKET_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PREFIX = "clusterctl_sandbox_"
_KINDS = {
    "requests_total": "counter",
    "cpu_seconds_total": "counter",
    "running": "gauge",
    "queued": "gauge",
    "workers": "gauge",
    "request_seconds": "histogram",
    "start_seconds": "histogram",
}


class Metrics:
    """Counters of one server; any thread may change them.

    `request_seconds` runs from a whole request read to its answer, waiting included; `start_seconds` from asking for a
    sandbox to its program's start; `cpu_seconds_total` is that of programs that were not stopped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[str, float]] = {name: {} for name in _KINDS}
        for name in ("request_seconds", "start_seconds"):
            bounds = [f'_bucket{{le="{bound}"}}' for bound in (*BUCKET_SECONDS, "+Inf")]
            self._values[name] = dict.fromkeys([*bounds, "_sum", "_count"], 0.0)

    def add(self, name: str, value: float = 1.0, labels: str = "") -> None:
        """Count up."""
        with self._lock:
            self._values[name][labels] = self._values[name].get(labels, 0.0) + value

    def observe(self, name: str, seconds: float) -> None:
        """Put a duration into a histogram."""
        self.add(name, seconds, "_sum")
        for bound in (*(bound for bound in BUCKET_SECONDS if seconds <= bound), "+Inf"):
            self.add(name, 1, f'_bucket{{le="{bound}"}}')
        self.add(name, 1, "_count")

    def text(self, **gauges: float) -> str:
        """Everything, with `gauges` as they are now."""
        with self._lock:
            values = {**self._values, **{name: {"": value} for name, value in gauges.items()}}
            lines = [
                line
                for name, kind in _KINDS.items()
                for line in (
                    f"# TYPE {_PREFIX}{name} {kind}",
                    *(f"{_PREFIX}{name}{labels} {value:.15g}" for labels, value in values[name].items()),
                )
            ]
        return "\n".join(lines) + "\n"
