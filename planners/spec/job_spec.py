"""How a stage is started in its place: what it reads, and, for a trainer of the user's own, its command."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from planners.spec.spec_model import SpecModel, Text

Script = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
VariableName = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class JobSpec(SpecModel):
    """What a run in a place needs beyond its plan; docs/frameworks.md says what a command sees."""

    weights: Text | None = Field(
        None, description="Folder or name of the model's weights in the place; default: the model's name."
    )
    data: Text | None = Field(None, description="Training data in the place: a file of JSON lines, or a name.")
    command: Script | None = Field(
        None, description="Shell script that trains, instead of the framework's; default: by framework."
    )
    image: Text | None = Field(None, description="Container image, by digest; default: the place's own.")
    setup: Script | None = Field(None, description="Shell script that each node runs before; it may run again.")
    environment: Annotated[tuple[VariableName, ...], Field(max_length=100)] = Field(
        (), description="Names of environment variables, such as secrets, whose values the place keeps."
    )


JOB = "How it is started in its place, where runs are launched on Slurm or Kubernetes."
"""Description of a stage's field."""
