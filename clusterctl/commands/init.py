"""`clusterctl init`: a commented run spec to start from."""

import difflib
import re
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.json_text import json_text
from clusterctl.paths import bundle_root
from clusterctl.specfile.write import write_atomic
from clusterctl.ui.streams import emit, emit_data
from clusterctl.ui.table import Column, draw_text
from clusterctl.ui.terminal import terminal

TEMPLATE_OF_KIND = {
    "rlcef": "rlcef", "synthesize": "synthetic-triples", "sft": "opencodeinterpreter-sft",
    "pretrain": "codellama-pretrain", "reward-model": "deepseek-coder-v2-critic", "rollout": "swe-agent-selfhosted",
    "evaluate": "humaneval", "dpo": "tulu3-dpo",
}  # fmt: skip
"""Kind of stage -> the template that shows it; a template's own name works too."""


def init(
    kind: Annotated[str | None, Argument(help="Kind of stage, or template; without it, list them.")] = None,
    *,
    out: Annotated[Path | None, Option("--out", "-o", help="Write to this file instead of stdout.")] = None,
    force: Annotated[bool, Option("--force", help="Overwrite the file if it exists.")] = False,
    as_json: Annotated[bool, Option("--json", help="List the kinds and templates as JSON.")] = False,
) -> None:
    """Write a commented run spec for a kind of work; without a kind, list the kinds and templates."""
    templates = template_paths()
    if kind is None:
        _list(templates, as_json=as_json)
        return
    name = TEMPLATE_OF_KIND.get(kind, kind)
    if name not in templates:
        known = sorted({*TEMPLATE_OF_KIND, *templates})
        close = difflib.get_close_matches(kind, known, n=1)
        near = f"; did you mean {close[0]}?" if close else ""
        raise SpecError(f"unknown kind or template {kind!r}{near}", hint=f"known: {', '.join(known)}")
    text = templates[name].read_text("utf-8")
    if out is None:
        emit_data(text)
        return
    if out.exists() and not force:
        raise ClusterctlError(f"{out} exists", hint="--force overwrites it")
    write_atomic(out, text)
    typer.echo(f"wrote {out}; next: clusterctl plan {out}", err=True)


def template_paths() -> dict[str, Path]:
    """Name -> file of every template that ships."""
    folder = bundle_root() / "templates" / "specs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def description_of(template: Path) -> str:
    """The `description:` of a template, without parsing the rest."""
    found = re.search(r"^description: (.+)$", template.read_text("utf-8"), re.MULTILINE)
    return found.group(1) if found else ""


def _list(templates: dict[str, Path], *, as_json: bool) -> None:
    if as_json:
        found = {name: description_of(path) for name, path in templates.items()}
        typer.echo(json_text({"kinds": TEMPLATE_OF_KIND, "templates": found}, indent=2))
        return
    kinds = draw_text(("kind", "template"), list(TEMPLATE_OF_KIND.items()), terminal())
    described = [(name, description_of(path)) for name, path in templates.items()]
    emit(f"{kinds}\n{draw_text(('template', Column('description', prose=True)), described, terminal())}")
