"""`clusterctl init`: a commented run spec to start from, from a template or from what a framework was given."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.json_text import json_text
from clusterctl.paths import bundle_root
from clusterctl.specfile.write import write_atomic
from clusterctl.ui.streams import emit, emit_data, printable
from clusterctl.ui.table import Column, draw_text
from clusterctl.ui.terminal import terminal

if TYPE_CHECKING:
    from clusterctl.frameworks.convert import Converted

TEMPLATE_OF_KIND = {
    "rlcef": "rlcef", "synthesize": "synthetic-triples", "sft": "opencodeinterpreter-sft",
    "pretrain": "codellama-pretrain", "reward-model": "deepseek-coder-v2-critic", "rollout": "swe-agent-selfhosted",
    "evaluate": "humaneval", "dpo": "tulu3-dpo",
}  # fmt: skip
"""Kind of stage -> the template that shows it; a template's own name works too."""
_LAYOUT = ("train.tp", "train.pp", "train.cp", "train.ep", "train.recompute", "train.micro_batch_samples")
LEFT_OUT = ((), ("train.micro_batch_samples",), ("fleet.num_gpus",), _LAYOUT, (*_LAYOUT, "fleet.num_gpus"))
"""Fields of a foreign layout that are left out, least first, where no fleet of the price book can run them."""
UNPLANNED = "by what plans count, no fleet on sale runs it so"
LONGEST_HOURS = 8760
"""A year: what a spec from a file may take where the default of a spec is too short."""
WHAT = ("taken", "assumed", "refused", "ignored")


def init(
    kind: Annotated[str | None, Argument(help="Kind of stage, or template; without it, list them.")] = None,
    *,
    from_: Annotated[
        str | None,
        Option(
            "--from", metavar="FILE", help="Turn this configuration or launch script of a framework into a run spec."
        ),
    ] = None,
    framework: Annotated[
        str | None,
        Option(help="Whose FILE is, where it doesn't show: verl, openrlhf, trl, skyrl, nemo-rl or torchtitan."),
    ] = None,
    out: Annotated[Path | None, Option("--out", "-o", help="Write to this file instead of stdout.")] = None,
    force: Annotated[bool, Option("--force", help="Overwrite the file if it exists.")] = False,
    as_json: Annotated[
        bool, Option("--json", help="List the kinds and templates, or what became of FILE, as JSON.")
    ] = False,
) -> None:
    """Write a commented run spec for a kind of work; without a kind, list the kinds and templates.

    With --from, from a configuration of verl, OpenRLHF, TRL, SkyRL, NeMo RL or torchtitan: what was taken, assumed and
    ignored is said line by line on stderr.  Nothing of FILE is run.  See docs/init.md.
    """
    if from_ is not None or framework is not None:
        _convert(from_, framework, kind, out=out, force=force, as_json=as_json)
        return
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
    _write(templates[name].read_text("utf-8"), out, force=force)


def _write(text: str, out: Path | None, *, force: bool) -> None:
    if out is None:
        emit_data(text)
        return
    _check_free(out, force=force)
    write_atomic(out, text)
    typer.echo(f"wrote {out}; next: clusterctl plan {out}", err=True)


def _check_free(out: Path, *, force: bool) -> None:
    if out.exists() and not force:
        raise ClusterctlError(f"{out} exists", hint="--force overwrites it")


def _convert(
    path: str | None, framework: str | None, kind: str | None, *, out: Path | None, force: bool, as_json: bool
) -> None:
    """A run spec from a foreign configuration, and what became of it."""
    from clusterctl.frameworks.convert import convert
    from clusterctl.frameworks.launch import FRAMEWORKS

    if path is None:
        raise SpecError("--framework needs --from FILE", hint="it says whose that file is")
    if kind is not None:
        raise SpecError(f"give either {kind} or --from, not both", hint="a template or a file is the start of a spec")
    named = (framework or "").lower().replace("_", "-").replace(" ", "-")
    known = {name.replace("-", ""): name for name in FRAMEWORKS}
    chosen = known.get(named.replace("-", "")) if named else None
    if named and chosen is None:
        raise SpecError(f"--framework: {framework!r} is not known", hint=f"known: {', '.join(FRAMEWORKS)}")
    if out is not None:
        _check_free(out, force=force)
    found, trial = _tried(convert(path, chosen))
    if as_json:
        if out is not None:
            write_atomic(out, found.text)
        emit(json_text(_json(found, trial), indent=2) + "\n")
        return
    typer.echo(printable(report(found, trial)), err=True)
    _write(found.text, out, force=force)


def _tried(found: Converted) -> tuple[Converted, str]:
    """The spec with as little left out as lets it be planned; and why it can't be planned at all, or nothing."""
    reason = _refusal(found.text)
    if not reason:
        return found, ""
    for fields in LEFT_OUT:
        candidate = found.without(fields, f"{UNPLANNED}: the plan chooses")
        longer = candidate.within_hours(LONGEST_HOURS, "beyond the usual limit of 720 hours; write what you allow")
        for changed in (candidate, longer) if candidate is not found or not fields else ():
            if changed is not found and not _refusal(changed.text):
                return changed, ""
    return found, reason


def _refusal(text: str) -> str:
    """Why a spec can't be planned, or nothing."""
    from clusterctl.plan_service import Planner, Source
    from clusterctl.specfile.yaml_file import parse_yaml

    source = Source(label="run.yaml", document=parse_yaml(text, name="run.yaml"), plan=None)
    try:
        Planner(now=datetime.now(UTC)).plan(source)
    except ClusterctlError as error:
        said = error.message.removeprefix("run.yaml: ")
        return f"{said}; {error.hint}" if error.hint else said
    return ""


def _json(found: Converted, trial: str) -> dict[str, object]:
    by_what = {what: [note._asdict() for note in found.notes if note.what == what] for what in WHAT}
    about = {"framework": found.framework, "evidence": found.evidence, "where": found.where}
    return {**about, **by_what, "plan_error": trial or None, "spec": found.text}


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


def report(found: Converted, trial: str) -> str:
    """What became of every setting, line by line.  trial: why the spec can't be planned, or empty."""
    rows = [f"{found.where}: {found.framework}, by {found.evidence}"]
    titles = {"taken": "taken", "assumed": "assumed: replace it by what you know", "refused": "contradicts"}
    for what, title in titles.items():
        notes = [note for note in found.notes if note.what == what]
        rows += ["", title] if notes else []
        for note in notes:
            source = " ".join(text for text in (note.where, note.setting) if text)
            target = note.field or "-"
            rows.append("  " + ": ".join(t for t in (f"{source} → {target}" if source else target, note.why) if t))
    ignored = [note for note in found.notes if note.what == "ignored"]
    rows += ["", "ignored: no field of a spec, or without effect on time, memory and cost"] if ignored else []
    rows += [f"  {note.where} {note.setting}" + (f": {note.why}" if note.why else "") for note in ignored]
    counts = ", ".join(f"{sum(note.what == what for note in found.notes)} {what}" for what in WHAT)
    rows += ["", counts]
    if trial:
        rows.append(f"as it stands it can't be planned: {trial}")
    return "\n".join(rows)
