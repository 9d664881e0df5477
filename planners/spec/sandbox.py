"""Where code runs: one sandbox's size, speed and start cost.  Fields left out come from the profile."""

from typing import Literal

from pydantic import Field

from planners.spec.base import Count, Cpus, Factor, Gib, GibOrZero, PerSecond, Seconds, Share, SpecModel
from planners.spec.lengths import SecondsSpread

ProfileName = Literal["judge", "swe", "browser"]


class SandboxSpec(SpecModel):
    """One kind of sandbox.  `seconds` is one judging run; tool calls between turns are `tool_seconds` of the stage."""

    profile: ProfileName | None = Field(
        None,
        description="Defaults for the fields left out: judge (compile and run tests), swe (a repository), browser.",
    )
    cpus: Cpus | None = Field(None, description="vCPUs of one sandbox.")
    memory_gib: Gib | None = Field(None, description="Memory of one sandbox.")
    disk_gib: GibOrZero | None = Field(None, description="Disk that one sandbox writes.")
    seconds: SecondsSpread | None = Field(None, description="One judging run, by mean and 95th percentile.")
    time_limit_seconds: Seconds | None = Field(None, description="A run is killed after this long.")
    calls_per_sample: Factor | None = Field(None, description="Judging runs per sample.")
    stateful: bool | None = Field(None, description="Held for the whole trajectory (true) or per call.")
    image_gib: GibOrZero | None = Field(None, description="Unpacked image size.")
    images: Count | None = Field(None, description="Different images in the run.")
    start_seconds: SecondsSpread | None = Field(None, description="From asking for a sandbox to using it.")
    starts_per_second_per_node: PerSecond | None = Field(None, description="Starts that one node sustains.")
    max_per_node: Count | None = Field(None, description="Most sandboxes on one node, whatever its size.")
    failure_share: Share | None = Field(None, description="Runs that fail for no fault of the code; repeated.")
    serial: bool = Field(False, description="Reward code calls the sandbox one sample at a time (a known trap).")
    concurrency: Count | None = Field(None, description="Most sandboxes at once, e.g. a client's limit.")
