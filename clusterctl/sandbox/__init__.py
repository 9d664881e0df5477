"""Runs untrusted programs: isolation, limits, verdicts; and serves SandboxFusion's HTTP interface."""
