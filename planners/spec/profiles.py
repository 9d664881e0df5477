"""Defaults for sandboxes and benchmarks, each with the source that a plan prints beside it."""

from dataclasses import dataclass

from planners.spec.distributions import Durations, Lengths
from planners.spec.stage_options import ProfileName, SandboxSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """A number that the spec did not state."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxNeed:
    """One kind of sandbox with every field known.  GiB, seconds, vCPUs."""

    profile: ProfileName
    cpus: float
    memory_gib: float
    disk_gib: float | None
    seconds: Durations
    """One judging run."""
    time_limit_seconds: float
    calls_per_sample: float
    stateful: bool
    """True: a sandbox belongs to a trajectory from its first to its last turn."""
    image_gib: float
    start_seconds: Durations
    starts_per_second_per_node: float
    max_per_node: int | None
    """None: as many as CPU, memory and disk hold."""
    failure_share: float
    serial: bool
    concurrency: int | None
    assumed: tuple[Assumed, ...]


_Default = tuple[float | int | bool | Durations | None, str]

_JUDGE: dict[str, _Default] = {
    "cpus": (1.0, "one run per vCPU, as SandboxFusion sizes its concurrency"),
    "memory_gib": (1.0, "verl's sandbox default, memory_limit_mb 1024"),
    "seconds": (Durations(mean=3.0, p95=10.0), "compile and unit tests take 1-10 s; uncalibrated"),
    "time_limit_seconds": (30.0, "assumption"),
    "calls_per_sample": (1.0, "one judging run per sample"),
    "stateful": (False, "judging starts from nothing each time"),
    "image_gib": (4.0, "SandboxFusion's image of about 21 languages is large; assumption"),
    "start_seconds": (Durations(mean=0.05, p95=0.2), "a process in a server that already runs; assumption"),
    "starts_per_second_per_node": (100.0, "process starts, not pods; assumption"),
    "max_per_node": (None, "as many as CPU and memory hold"),
    "failure_share": (0.002, "assumption"),
}
_SWE: dict[str, _Default] = {
    "cpus": (2.0, "1-2 vCPUs per repository task, NeMo-Gym's example uses 2"),
    "memory_gib": (4.0, "NeMo-Gym's example, 4,096 MB"),
    "seconds": (Durations(mean=90.0, p95=600.0), "the repository's tests at the end take minutes; uncalibrated"),
    "time_limit_seconds": (1800.0, "SWE-bench harness default timeout"),
    "calls_per_sample": (1.0, "the repository's tests run once per attempt"),
    "stateful": (True, "a shell session lives as long as the attempt"),
    "image_gib": (4.0, "SWE task images unpack to 2-10 GiB"),
    "start_seconds": (Durations(mean=1.0, p95=5.0), "agent-sandbox load-test goal: p50 1 s, p99 5 s, warm pool"),
    "starts_per_second_per_node": (4.5, "agent-sandbox stress test, PR #1275, bound by node disk sync"),
    "max_per_node": (110, "kubelet's default pod limit; agent-sandbox ran 80-120 per 8-vCPU node"),
    "failure_share": (0.01, "assumption"),
}
_BROWSER: dict[str, _Default] = _SWE | {
    "seconds": (Durations(mean=10.0, p95=60.0), "assumption"),
    "time_limit_seconds": (300.0, "assumption"),
    "image_gib": (3.0, "assumption"),
    "max_per_node": (80, "agent-sandbox, Chrome workload under gVisor without swap"),
}
PROFILES: dict[ProfileName, dict[str, _Default]] = {"judge": _JUDGE, "swe": _SWE, "browser": _BROWSER}


def sandbox_need(spec: SandboxSpec | None, *, default_profile: ProfileName) -> SandboxNeed:
    """`spec` with every gap filled from its profile; each filled field is listed in `assumed` with its source."""
    stated = spec or SandboxSpec()
    profile = stated.profile or default_profile
    values: dict[str, object] = {}
    assumed: list[Assumed] = []
    for field, (default, source) in PROFILES[profile].items():
        value = getattr(stated, field)
        if value is None:
            value = default
            where = f"profile {profile}: {source}"
            assumed.append(Assumed(name=f"sandbox.{field}", value=shown(default), source=where))
        values[field] = value
    kept = {name: getattr(stated, name) for name in ("disk_gib", "serial", "concurrency")}
    kept |= {"profile": profile, "assumed": tuple(assumed)}
    return SandboxNeed(**values, **kept)  # type: ignore[arg-type]  # its fields are the profile's keys: a test checks


def shown(value: object) -> str:
    """A field's value as plans and the manual print it."""
    if isinstance(value, Lengths | Durations):
        unit = " s" if isinstance(value, Durations) else ""
        return f"{value.mean:g}{unit}" + ("" if value.p95 is None else f" (p95 {value.p95:g}{unit})")
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
