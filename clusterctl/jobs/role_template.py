"""A role of a framework as a file of `templates/jobs/`: YAML with what `Job` and `Role` need, filled in by Jinja2.

A file is `FRAMEWORK/KIND-ROLE.yaml`; the framework's own configuration stands in it under `files`, as it is written.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.paths import bundle_root


class Packages(BaseModel):
    """A Python environment of a place: made once, then taken as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    """Framework and version: the folder under the place's `envs/`."""
    python: str = "3.11"
    install: tuple[str, ...]
    """Pinned requirements."""
    without: tuple[str, ...] = ()
    """Packages that those require and that are left out."""


class RoleTemplate(BaseModel):
    """What a file of `templates/jobs/` says, once it is filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: bool = True
    """False: this plan has no such role."""
    pool: str = ""
    """Whose nodes it takes: trainer, rollout or sandbox; empty: beside the supervisor."""
    nodes: Literal["all", "one", "each"] = "one"
    """all: one gang over every node; one: a single node; each: an instance of its own on every node."""
    after: tuple[str, ...] = ()
    until_done: bool = False
    vital: bool = True
    packages: Packages | None = None
    setup: str = ""
    command: str
    """A bash script, with the environment's `bin` first on its path."""
    environment: dict[str, str] = {}
    modules: tuple[str, ...] = ()
    """Files of `templates/jobs/lib` that lie beside its configuration, on PYTHONPATH."""
    files: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    needs: dict[str, str] = {}
    ready_path: str = ""


def jobs_folder() -> Path:
    """Where the templates of jobs lie."""
    return bundle_root() / "templates" / "jobs"


def module_text(name: str) -> str:
    """A module of ours that runs beside a framework."""
    return (jobs_folder() / "lib" / f"{name}.py").read_text("utf-8")


def role_files(framework: str, kind: str) -> dict[str, Path]:
    """Role -> file, of a framework's roles for a kind of stage."""
    found = sorted((jobs_folder() / framework).glob(f"{kind}-*.yaml"))
    return {file.stem.removeprefix(f"{kind}-"): file for file in found}


def frameworks_of(kind: str) -> list[str]:
    """Frameworks that have templates for a kind of stage."""
    return sorted({file.parent.name for file in jobs_folder().glob(f"*/{kind}-*.yaml")})


def render_role(file: Path, context: Mapping[str, Any]) -> RoleTemplate:
    """The role that a file describes.  Raises SpecError where it refuses a plan, ClusterctlError without Jinja2."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
    except ImportError as error:
        raise ClusterctlError(
            "jobs on other machines need Jinja2, which is missing", hint="pip install 'clusterctl[remote]'"
        ) from error
    environment = Environment(  # noqa: S701 - shell scripts and YAML, no page of the web
        loader=FileSystemLoader(jobs_folder()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["refuse"], environment.filters["quoted"] = _refuse, shlex.quote
    try:
        text = environment.get_template(str(file.relative_to(jobs_folder()))).render(context)
        return RoleTemplate.model_validate(yaml.safe_load(text))
    except (TemplateError, yaml.YAMLError, ValidationError) as error:
        raise ClusterctlError(f"{file}: the template of a job is damaged: {error}") from error


def _refuse(message: str, hint: str = "") -> str:
    raise SpecError(message, hint=hint or None)
