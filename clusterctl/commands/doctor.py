"""`clusterctl doctor`: is this installation whole, and what would an extra add?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer
from typer import Option

from clusterctl import __version__, paths
from clusterctl.errors import ClusterctlError, SpecError, StateError
from clusterctl.json_text import json_text
from clusterctl.ui.streams import emit
from clusterctl.ui.table import Column, draw_text
from clusterctl.ui.terminal import terminal

if TYPE_CHECKING:
    from planners.plan.value import Plan

EXTRAS = {
    "plot": "matplotlib", "postgresql": "psycopg", "aws": "boto3", "gcp": "google.cloud.compute",
    "azure": "azure.mgmt.compute", "remote": "sky", "pulumi": "pulumi",
    "telemetry": "pynvml", "dashboard": "streamlit", "train": "trl",
}  # fmt: skip
"""Extra → the module that it brings."""


class Check(NamedTuple):
    """One line of the report."""

    name: str
    status: Literal["ok", "weaker", "absent", "broken"]
    """`absent` is fine: an extra that nobody asked for.  `weaker`: works, and better can be had."""
    detail: str
    fix: str | None = None


def doctor(
    *,
    fix: Annotated[
        bool,
        Option("--fix", help="Install what is missing: bubblewrap (needs root), Pulumi's engine beside its extra."),
    ] = False,
    plan: Annotated[
        Path | None, Option(metavar="FILE", help="A plan.json: may the account of its cloud have what it asks for?")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check this installation: Python, packages, bundled files, sandbox, extras, clusters and clouds that are in use.

    Exit code 5 if something is broken.
    """
    if fix:
        _install_bubblewrap()
        _install_engine()
    python = Check("python", "ok", f"{platform.python_version()} at {sys.executable}")
    checks = [python, _package(), _bundle(), *_sandbox(), *_extras(), _engine(), *_opa(), *_clusters(), *_clouds(plan)]
    if as_json:
        typer.echo(json_text({"version": __version__, "checks": [check._asdict() for check in checks]}, indent=2))
    else:
        rows = [row for check in checks for row in _rows(check)]
        emit(draw_text(("status", "check", Column("detail", prose=True)), rows, terminal()))
    broken = [check.name for check in checks if check.status == "broken"]
    if broken:
        raise StateError(
            f"this installation is broken: {', '.join(broken)}", hint="reinstall clusterctl in a venv of its own"
        )


def _rows(check: Check) -> list[list[str]]:
    """The check, and below it the way to mend it."""
    return [[check.status, check.name, check.detail], *([["", "", f"→ {check.fix}"]] if check.fix else [])]


def _package() -> Check:
    """`planners` is a generic name: another distribution that also ships one would shadow ours."""
    others = sorted(set(packages_distributions().get("planners", [])) - {"clusterctl"})
    if others:
        detail = f"`planners` is also installed by {', '.join(others)}"
        return Check("packages", "broken", detail, "install clusterctl in a venv of its own")
    return Check("packages", "ok", f"clusterctl {__version__} at {Path(paths.__file__).parent}")


def _bundle() -> Check:
    root = paths.bundle_root()
    absent = [name for name in ("infra", "app", "examples", "templates") if not (root / name).is_dir()]
    if absent:
        return Check("bundled files", "broken", f"no {', '.join(absent)} in {root}", "reinstall clusterctl")
    return Check("bundled files", "ok", str(root))


def _install_bubblewrap() -> None:
    from clusterctl.sandbox.isolation import installer, offer_bubblewrap

    def tell(_: str) -> bool:
        typer.echo(f"running `{installer()}`", err=True)
        return True

    try:
        offer_bubblewrap(tell)
    except ClusterctlError as error:
        typer.echo(f"warning: {error.message}; {error.hint}", err=True)


def _sandbox() -> list[Check]:
    """The mechanism that programs run in here, and the languages."""
    from clusterctl.sandbox.isolation import BUBBLEWRAP, find_isolation, installer, missing_guards, why_not
    from clusterctl.sandbox.languages import languages

    line = installer()
    may = os.geteuid() == 0
    fix = None if line is None else f"`clusterctl doctor --fix` runs `{line}`" if may else f"as root: {line}"
    try:
        found = find_isolation()
    except ClusterctlError as error:
        return [Check("sandbox", "absent", error.message, fix or error.hint)]
    usable = [name for name, absent in languages().items() if absent is None]
    programs = [Check("sandbox languages", "ok", ", ".join(usable))]
    programs += [Check("sandbox limits", "weaker", what, fix) for what, fix in missing_guards()]
    if not found.weaker:
        return [Check("sandbox", "ok", f"{found.name}: namespaces, system-call filter, limits"), *programs]
    detail = f"{found.name}: {found.weaker} ({BUBBLEWRAP.name}: {why_not(BUBBLEWRAP)})"
    return [Check("sandbox", "weaker", detail, fix), *programs]


def _extras() -> list[Check]:
    return [
        Check(f"extra {extra}", "ok", f"{module} is installed")
        if _is_installed(module)
        else Check(f"extra {extra}", "absent", f"{module} is not installed", f"pip install 'clusterctl[{extra}]'")
        for extra, module in EXTRAS.items()
    ]


def _engine() -> Check:
    """Pulumi's, which makes clusters in clouds."""
    from clusterctl.fleet.pulumi_engine import HINT, find_engine, find_engines

    try:
        return Check("pulumi engine", "ok", find_engine(paths.user_data_dir()).text)
    except ClusterctlError as error:
        status: Literal["weaker", "absent"] = "weaker" if find_engines(paths.user_data_dir()) else "absent"
        return Check("pulumi engine", status, error.message, HINT)


def _opa() -> list[Check]:
    """Where the policies of the folder have rules in Rego: what runs them."""
    from clusterctl.review.policies_file import INSTALL_OPA, PLACES, load_policies

    name = next((place for place in PLACES if Path(place).is_file()), None)
    if name is None:
        return []
    try:
        rules = [own.rego for own in load_policies(name).content.own if own.rego]
    except ClusterctlError as error:
        return [Check("policies", "weaker", error.message, error.hint)]
    if not rules:
        return []
    found = shutil.which("opa")
    if found is not None:
        return [Check("opa", "ok", found)]
    return [Check("opa", "weaker", f"not installed; {name} has rules in Rego: {', '.join(rules)}", INSTALL_OPA)]


def _install_engine() -> None:
    """Where the extra is installed and no engine fits."""
    if not _is_installed("pulumi") or _engine().status == "ok":
        return
    from clusterctl.fleet.stack import install_engine

    typer.echo("running Pulumi's own installer", err=True)
    try:
        install_engine(paths.user_data_dir())
    except ClusterctlError as error:
        typer.echo(f"warning: {error.message}; {error.hint}", err=True)


def _clusters() -> list[Check]:
    """Whether each Slurm cluster answers on which runs of this data folder were started."""
    from clusterctl.targets.places import known_places
    from clusterctl.targets.slurm_check import partitions_of

    found = []
    for place in known_places(paths.user_data_dir()):
        if place.startswith("slurm:"):
            try:
                found.append(Check(place, "ok", f"answers; partitions: {', '.join(partitions_of(place[6:]))}"))
            except ClusterctlError as error:
                found.append(Check(place, "weaker", error.message, error.hint))
    return found


def _clouds(plan_file: Path | None) -> list[Check]:
    """Who pays in each cloud that is in use here; and whether that account may have what a plan asks for."""
    from clusterctl.clouds import NAMES
    from clusterctl.clouds.configured import connected
    from clusterctl.targets.places import known_places

    plan = None if plan_file is None else _plan(str(plan_file))
    asked = None if plan is None else sorted({pool.cloud for pool in plan.pools if pool.cloud in NAMES})
    clouds, left_out = connected(asked, known_places(paths.user_data_dir()))
    found = [Check(place.cloud, "weaker", place.reason) for place in left_out if plan is not None]
    for cloud in clouds:
        try:
            found.append(Check(cloud.name, "ok", f"paid by {cloud.identity()}"))
            for quota in cloud.quotas(plan) if plan is not None else ():
                status: Literal["ok", "weaker"] = "weaker" if quota.is_short or quota.limit is None else "ok"
                found.append(
                    Check(f"{cloud.name} quota", status, quota.text, quota.request if quota.is_short else None)
                )
        except ClusterctlError as error:
            found.append(Check(cloud.name, "weaker", error.message, error.hint))
    return found


def _plan(file: str) -> Plan:
    from clusterctl.plan_service import open_source

    plan = open_source(file).plan
    if plan is None:
        raise SpecError(f"{file} is a spec, not a plan", hint=f"clusterctl plan {file} --out plan.json")
    return plan


def _is_installed(module: str) -> bool:
    """Whether `module` can be imported, without importing more than its parent packages."""
    parent = module.rpartition(".")[0]
    return (not parent or _is_installed(parent)) and find_spec(module) is not None
