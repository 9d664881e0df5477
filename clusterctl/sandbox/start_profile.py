"""How fast sandboxes start on this machine: measured by `clusterctl sandbox bench`, used by plans for this machine."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat, ValidationError

from clusterctl import paths
from clusterctl.errors import StateError
from clusterctl.foreign_files import read_limited
from clusterctl.specfile.write import write_atomic
from planners.spec.distributions import Durations
from planners.workload.sandbox_work import SandboxStarts

BENCH = "`clusterctl sandbox bench`"


class SandboxProfile(BaseModel):
    """One measurement, as it is kept in the user's data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured_on: date
    machine: str
    """As `this_machine` says it: a home folder may be shared by many."""
    isolation: str
    start_seconds: Durations
    starts_per_second_per_node: PositiveFloat


def profile_file() -> Path:
    """Where the measurement is kept."""
    return paths.user_data_dir() / "sandbox-profile.json"


def this_machine() -> str:
    """What the speed depends on: `2 × AMD EPYC 7763 64-Core Processor`."""
    try:
        said = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        said = []
    models = [line.partition(":")[2].strip() for line in said if line.startswith("model name")]
    return f"{os.cpu_count()} × {models[0] if models else platform.machine()}"


def write_profile(profile: SandboxProfile) -> Path:
    """Keep it; returns the file."""
    file = profile_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, profile.model_dump_json(indent=2) + "\n")
    return file


def starts_here() -> SandboxStarts:
    """What is known of this machine.  Raises StateError when the measurement is damaged."""
    file = profile_file()
    try:
        profile = SandboxProfile.model_validate_json(read_limited(file, 1 << 20))
    except FileNotFoundError:
        return SandboxStarts(source=f"not measured here, {BENCH} does it")
    except (OSError, ValidationError) as error:
        raise StateError(f"the measurement {file} can't be read", hint=f"{BENCH} writes it again") from error
    if profile.machine != this_machine():
        return SandboxStarts(source=f"measured on {profile.machine} only, {BENCH} measures this machine")
    return SandboxStarts(
        start_seconds=profile.start_seconds,
        per_second_per_node=profile.starts_per_second_per_node,
        source=f"measured here on {profile.measured_on}, {profile.isolation}",
    )
