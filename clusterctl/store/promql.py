"""Which PromQL query gives which column: DCGM's names, as dcgm-exporter and our agent have them, and our own.

In a query `$` stands for matchers of labels and `@` for a step; it is evaluated at the end of each step.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

UTIL = "avg_over_time(DCGM_FI_DEV_GPU_UTIL{$}[@])"
FINISHED = "finished|compile failed|output limit"


def _mean(name: str, factor: str = "") -> str:
    return f"avg_over_time({name}{{$}}[@]){factor}"


def _ended(results: str) -> str:
    return f'sum without (result) (increase(clusterctl_sandbox_requests_total{{result=~"{results}",$}}[@]))'


def _quantile(share: float, name: str) -> str:
    return f"1000 * histogram_quantile({share}, increase(clusterctl_sandbox_{name}_seconds_bucket{{$}}[@]))"


_SBE, _DBE = (f"increase(DCGM_FI_DEV_ECC_{kind}_VOL_TOTAL{{$}}[@])" for kind in ("SBE", "DBE"))

QUERIES: dict[str, dict[str, str]] = {
    "gpu": {
        # a MIG instance has no utilisation, but the share of time that its engine works, where profiling is on
        "gpu_util_pct": f"{UTIL} or {_mean('DCGM_FI_PROF_GR_ENGINE_ACTIVE', ' * 100')}",
        "tensor_active_pct": _mean("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", " * 100"),
        "memory_util_pct": _mean("DCGM_FI_DEV_MEM_COPY_UTIL"),
        "fb_used_mib": "max_over_time(DCGM_FI_DEV_FB_USED{$}[@])",
        "sm_clock_mhz": _mean("DCGM_FI_DEV_SM_CLOCK"),
        "memory_clock_mhz": _mean("DCGM_FI_DEV_MEM_CLOCK"),
        "power_w": _mean("DCGM_FI_DEV_POWER_USAGE"),
        "energy_j": "increase(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{$}[@]) / 1000",
        "temperature_c": "max_over_time(DCGM_FI_DEV_GPU_TEMP{$}[@])",
        "pcie_tx_kib_per_s": _mean("DCGM_FI_PROF_PCIE_TX_BYTES", " / 1024"),
        "pcie_rx_kib_per_s": _mean("DCGM_FI_PROF_PCIE_RX_BYTES", " / 1024"),
        # DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL is left out: its unit differs between versions of DCGM
        "nvlink_kib_per_s": f"{_mean('clusterctl_gpu_nvlink_bytes_per_second', ' / 1024')} or "
        f"({_mean('DCGM_FI_PROF_NVLINK_TX_BYTES')} + {_mean('DCGM_FI_PROF_NVLINK_RX_BYTES')}) / 1024",
        "ecc_errors": f"({_SBE} + {_DBE}) or {_SBE} or {_DBE}",
        # the gauge keeps the last Xid for ever: only one that came within the step counts
        "xid": "(DCGM_FI_DEV_XID_ERRORS{$} != (DCGM_FI_DEV_XID_ERRORS{$} offset @)) != 0",
    },
    "host": {
        "cpu_pct": "100 * increase(clusterctl_host_cpu_busy_seconds_total{$}[@])"
        " / increase(clusterctl_host_cpu_seconds_total{$}[@])",
        "memory_used_mib": "max_over_time(clusterctl_host_memory_used_bytes{$}[@]) / 1048576",
        "disk_used_mib": "max_over_time(clusterctl_host_disk_used_bytes{$}[@]) / 1048576",
        "disk_kib_per_s": "rate(clusterctl_host_disk_bytes_total{$}[@]) / 1024",
        "network_kib_per_s": "rate(clusterctl_host_network_bytes_total{$}[@]) / 1024",
    },
    "sandbox": {
        "running": _mean("clusterctl_sandbox_running"),
        "queued": _mean("clusterctl_sandbox_queued"),
        "workers": _mean("clusterctl_sandbox_workers"),
        "finished": _ended(FINISHED),
        "time_limits": _ended("time limit"),
        "memory_limits": _ended("memory limit"),
        "errors": _ended("sandbox error"),
        "start_p50_ms": _quantile(0.5, "start"),
        "request_p50_ms": _quantile(0.5, "request"),
        "start_p95_ms": _quantile(0.95, "start"),
        "request_p95_ms": _quantile(0.95, "request"),
    },
}
"""By table and column, less the keys and `seconds`.  What has no series is null."""

IDLE = "increase(clusterctl_gpu_idle_seconds_total{$}[@])"
PRESENT = {
    "gpu": "count_over_time(DCGM_FI_DEV_FB_USED{$}[@])",
    "host": "count_over_time(clusterctl_host_memory_used_bytes{$}[@])",
    "sandbox": "count_over_time(clusterctl_sandbox_running{$}[@])",
}
"""Samples of what is there whenever its target is; memory is the one value that MIG instances have too."""
FRAMEBUFFER = {part: f"last_over_time(DCGM_FI_DEV_FB_{part}{{$}}[@])" for part in ("USED", "FREE", "RESERVED")}
"""A GPU's memory is what is used, what is free, and what the driver keeps."""
NODE_LABELS = ("exported_hostname", "hostname", "Hostname")
"""Where a node's name is: dcgm-exporter renamed its own in 2026; Prometheus prefixes what a target's labels hide."""


def filled(query: str, *, step_seconds: int, nodes: Collection[str] | None = None, run: str | None = None) -> str:
    """The query for these nodes and this run: one alternative per label that may hold their names."""
    texts = [
        query.replace("$", matchers).replace(",}", "}").replace("@", f"{step_seconds}s")
        for matchers in _matchers(nodes, run)
    ]
    return texts[0] if len(texts) == 1 else " or ".join(f"({text})" for text in texts)


def metrics(query: str) -> list[str]:
    """The names of the series that it reads."""
    return list(dict.fromkeys(re.findall(r"([A-Za-z_]\w+)\{", query)))


def any_of(names: Collection[str]) -> str:
    """How many series have one of these names."""
    return f'count(count_over_time({{__name__=~"{"|".join(names)}"}}[@]))'


def _matchers(nodes: Collection[str] | None, run: str | None) -> Iterator[str]:
    of_node, of_run = [""], [""]
    if nodes is not None:
        names = "|".join(re.escape(node) for node in nodes)
        of_node = [f"{label}=~{quoted(names)}" for label in NODE_LABELS]
        unnamed = "".join(f'{label}="",' for label in NODE_LABELS)
        of_node.append(f"{unnamed}instance=~{quoted(f'({names})(:.*)?')}")
    if run is not None:
        _, _, pod = run.rpartition("/")
        labels = ("exported_pod", "pod") if "/" in run else ("exported_run", "run")
        of_run = [f"{label}={quoted(pod)}" for label in labels]
    for pair in itertools.product(of_node, of_run):
        yield ",".join(text for text in pair if text)


def quoted(text: str) -> str:
    """As a string of PromQL, which takes Go's escapes."""
    return json.dumps(text, ensure_ascii=False)
