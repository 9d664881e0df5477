"""The commands as data: `--help` is drawn from this table alone, without importing any command."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEntry:
    """One command: where its code is, and what a person reads before it is imported."""

    name: str
    module: str
    attribute: str
    """A function (a command) or a `typer.Typer` (a group of commands) in `module`."""
    summary: str
    examples: tuple[str, ...]
    """Shown at the end of the command's help; a test runs each beside `templates/`."""


COMMANDS: tuple[CommandEntry, ...] = (
    CommandEntry(
        name="plan",
        module="clusterctl.commands.plan",
        attribute="app",
        summary="Plan a run: which fleet, how long, how much, how sure.",
        examples=(
            "clusterctl plan templates/specs/rlcef.yaml",
            "clusterctl plan templates/specs/rlcef.yaml --what-if steps=800",
            "clusterctl plan templates/specs/rlcef.yaml --explain usd",
            "clusterctl plan templates/specs/rlcef.yaml --out plan.json --markdown",
        ),
    ),
    CommandEntry(
        name="init",
        module="clusterctl.commands.init",
        attribute="init",
        summary="Write a commented run spec for a kind of work.",
        examples=("clusterctl init", "clusterctl init rlcef --out run.yaml"),
    ),
    CommandEntry(
        name="schema",
        module="clusterctl.commands.schema",
        attribute="schema",
        summary="Print the JSON Schema of a run spec, for editors.",
        examples=("clusterctl schema --out run-spec.schema.json",),
    ),
    CommandEntry(
        name="validate",
        module="clusterctl.commands.validate",
        attribute="validate",
        summary="Predict published runs; print predicted against published.",
        examples=("clusterctl validate benchmarks/cases/cases.yaml --kind sft",),
    ),
    CommandEntry(
        name="prices",
        module="clusterctl.commands.prices",
        attribute="app",
        summary="Look into the price book: list, compare, history, check, refresh.",
        examples=(
            "clusterctl prices list --gpu H100 --capacity spot",
            "clusterctl prices compare H100 H200",
            "clusterctl prices history p5.48xlarge",
        ),
    ),
    CommandEntry(
        name="up",
        module="clusterctl.commands.up",
        attribute="up",
        summary="Start a run here, after showing what it costs; or resume it.",
        examples=(
            "clusterctl up templates/specs/quickstart.yaml --dry-run",
            "clusterctl up templates/specs/quickstart.yaml  # not run: takes a minute",
        ),
    ),
    CommandEntry(
        name="status",
        module="clusterctl.commands.status",
        attribute="status",
        summary="Show what runs, how far it is, what it costs.",
        examples=(
            "clusterctl status",
            "clusterctl status --all --json",
        ),
    ),
    CommandEntry(
        name="logs",
        module="clusterctl.commands.logs",
        attribute="logs",
        summary="Print what the roles of a run say.",
        examples=("clusterctl logs quickstart --role trainer  # not run: needs a run",),
    ),
    CommandEntry(
        name="events",
        module="clusterctl.commands.events",
        attribute="events",
        summary="Print what happened to a run.",
        examples=("clusterctl events quickstart --kind launch  # not run: needs a run",),
    ),
    CommandEntry(
        name="cost",
        module="clusterctl.commands.cost",
        attribute="cost",
        summary="Show what runs have cost, who used it and for what.",
        examples=(
            "clusterctl cost --by team --since 30d",
            "clusterctl cost quickstart --explain  # not run: needs a run",
            "clusterctl cost --csv --by label:experiment",
            "clusterctl cost --since 30d --focus costs.parquet",
        ),
    ),
    CommandEntry(
        name="bill",
        module="clusterctl.commands.bill",
        attribute="app",
        summary="Import what a provider billed; compare it with the estimates.",
        examples=(
            "clusterctl bill import cur-2026-03-*.parquet  # not run: needs a bill",
            "clusterctl bill show --json",
        ),
    ),
    CommandEntry(
        name="calibrate",
        module="clusterctl.commands.calibrate",
        attribute="calibrate",
        summary="Learn from your ended runs: factors for the next plan.",
        examples=("clusterctl calibrate", "clusterctl calibrate --list --json"),
    ),
    CommandEntry(
        name="down",
        module="clusterctl.commands.down",
        attribute="down",
        summary="End a run and print its final bill.",
        examples=("clusterctl down quickstart  # not run: needs a run",),
    ),
    CommandEntry(
        name="sweep",
        module="clusterctl.commands.sweep",
        attribute="sweep",
        summary="Find what is ours and belongs to no live run.",
        examples=("clusterctl sweep --json",),
    ),
    CommandEntry(
        name="sandbox",
        module="clusterctl.commands.sandbox",
        attribute="app",
        summary="Run programs that nobody has read: serve, run, bench.",
        examples=(
            "echo 'print(6 * 7)' | clusterctl sandbox run -",
            "clusterctl sandbox serve --port 8080  # not run: serves until stopped",
            "clusterctl sandbox bench  # not run: takes half a minute",
        ),
    ),
    CommandEntry(
        name="telemetry",
        module="clusterctl.commands.telemetry",
        attribute="app",
        summary="Measure a node; look into what was measured.",
        examples=(
            "clusterctl telemetry agent  # not run: measures until stopped",
            "clusterctl telemetry export gpu --since 2h --step 60",
            "clusterctl telemetry status",
            "clusterctl telemetry compact --keep-days 30",
        ),
    ),
    CommandEntry(
        name="dashboard",
        module="clusterctl.commands.dashboard",
        attribute="dashboard",
        summary="Show runs, money, GPUs and sandboxes in a browser.",
        examples=(
            "clusterctl dashboard  # not run: serves until stopped",
            "clusterctl dashboard --sample --background  # not run: stays until it is stopped",
            "clusterctl dashboard --stop",
        ),
    ),
    CommandEntry(
        name="doctor",
        module="clusterctl.commands.doctor",
        attribute="doctor",
        summary="Check this installation: Python, packages, bundled files, sandbox, extras.",
        examples=("clusterctl doctor", "clusterctl doctor --json", "clusterctl doctor --fix  # not run: installs"),
    ),
    CommandEntry(
        name="completion",
        module="clusterctl.commands.completion",
        attribute="completion",
        summary="Print the completion script of a shell.",
        examples=("clusterctl completion bash", "clusterctl completion zsh"),
    ),
)
