"""The commands as data: `--help` is drawn from this table alone, without importing any command."""

from __future__ import annotations

from typing import NamedTuple


class CommandEntry(NamedTuple):
    """One command: what a person reads before its module is imported."""

    name: str
    summary: str
    examples: tuple[str, ...]
    """Shown at the end of the command's help; a test runs each beside `templates/`, but those marked `not run`."""

    @property
    def module(self) -> str:
        """Holds a function of the command's name, or for a group of commands a `typer.Typer` named `app`."""
        return f"clusterctl.commands.{self.name}"


_TABLE = {
    "plan": (
        "Plan a run: which fleet, how long, how much, how sure.",
        "clusterctl plan templates/specs/rlcef.yaml",
        "clusterctl plan templates/specs/rlcef.yaml --what-if steps=800",
        "clusterctl plan templates/specs/rlcef.yaml --explain usd",
        "clusterctl plan templates/specs/rlcef.yaml --out plan.json --markdown",
    ),
    "init": (
        "Write a commented run spec for a kind of work.",
        "clusterctl init",
        "clusterctl init rlcef --out run.yaml",
    ),
    "schema": ("Print the JSON Schema of a run spec, for editors.", "clusterctl schema --out run-spec.schema.json"),
    "validate": (
        "Predict published runs; print predicted against published.",
        "clusterctl validate tools/fit/cases/cases.yaml --kind sft",
    ),
    "prices": (
        "Query, check and refresh the price book.",
        "clusterctl prices list --gpu H100 --capacity spot",
        "clusterctl prices compare H100 H200",
        "clusterctl prices history p5.48xlarge",
    ),
    "up": (
        "Start or resume a run, after showing what it costs.",
        "clusterctl up templates/specs/quickstart.yaml --dry-run",
        "clusterctl up templates/specs/quickstart.yaml  # not run: takes a minute",
    ),
    "status": ("Show live runs: progress, cost, problems.", "clusterctl status", "clusterctl status --all --json"),
    "logs": ("Print the logs of a run.", "clusterctl logs quickstart --role trainer  # not run: needs a run"),
    "events": ("Print the events of a run.", "clusterctl events quickstart --kind launch  # not run: needs a run"),
    "cost": (
        "Show what runs have cost, who used it and for what.",
        "clusterctl cost --by team --since 30d",
        "clusterctl cost quickstart --explain  # not run: needs a run",
        "clusterctl cost --csv --by label:experiment",
        "clusterctl cost --since 30d --focus costs.parquet",
    ),
    "bill": (
        "Import what a provider billed; compare it with the estimates.",
        "clusterctl bill import cur-2026-03-*.parquet  # not run: needs a bill",
        "clusterctl bill show --json",
    ),
    "calibrate": (
        "Learn from your ended runs: factors for the next plan.",
        "clusterctl calibrate",
        "clusterctl calibrate --list --json",
    ),
    "down": ("End a run and print its final bill.", "clusterctl down quickstart  # not run: needs a run"),
    "sweep": ("Find and remove what belongs to no live run.", "clusterctl sweep --json"),
    "sandbox": (
        "Run untrusted programs: serve, run, bench.",
        "echo 'print(6 * 7)' | clusterctl sandbox run -",
        "clusterctl sandbox serve --port 8080  # not run: serves until stopped",
        "clusterctl sandbox bench  # not run: takes half a minute",
    ),
    "telemetry": (
        "Measure a node; show what was measured.",
        "clusterctl telemetry agent  # not run: measures until stopped",
        "clusterctl telemetry export gpu --since 2h --step 60",
        "clusterctl telemetry status",
        "clusterctl telemetry compact --keep-days 30",
    ),
    "dashboard": (
        "Show runs, money, GPUs and sandboxes in a browser.",
        "clusterctl dashboard  # not run: serves until stopped",
        "clusterctl dashboard --sample --background  # not run: stays until it is stopped",
        "clusterctl dashboard --stop",
    ),
    "doctor": (
        "Check this installation: Python, packages, bundled files, sandbox, extras.",
        "clusterctl doctor",
        "clusterctl doctor --json",
        "clusterctl doctor --fix  # not run: installs",
    ),
    "completion": (
        "Print the completion script of a shell.",
        "clusterctl completion bash",
        "clusterctl completion zsh",
    ),
}
"""Name → its summary, then its examples."""

COMMANDS = tuple(CommandEntry(name, summary, tuple(examples)) for name, (summary, *examples) in _TABLE.items())
