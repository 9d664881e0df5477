"""Runs programs that nobody has read: isolation, limits, verdicts; and serves SandboxFusion's HTTP interface."""
