"""What a secret looks like: keys and tokens as their issuers write them, and the names by which secrets go."""

from __future__ import annotations

import re

SECRET = re.compile(
    r"(AKIA|ASIA)[0-9A-Z]{16}|gh[opsru]_\w{30}|github_pat_\w{20}|glpat-[\w-]{20}|hf_[A-Za-z0-9]{30}|AIza[\w-]{35}"
    r"|sk-(proj|ant|svcacct|or)-[\w-]{16}|sk[-_](live_|test_)?[A-Za-z0-9]{20}|xox[abeprs]-[\w-]{10}|nvapi-[\w-]{20}"
    r"|npm_[A-Za-z0-9]{30}|pypi-AgE|dop_v1_\w{20}|eyJ[\w-]{8,}\.eyJ|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""Keys and tokens: AWS, GitHub, GitLab, Hugging Face, Google, OpenAI and Anthropic, Stripe, Slack, NVIDIA, npm, PyPI,
DigitalOcean, JSON Web Tokens, PEM.  As gitleaks and GitHub's secret scanning know them."""
SECRET_NAME = re.compile(
    r"(?i)(pass(word|wd|phrase)|client_?secret|secret_?(access_?)?key|(^|[^a-z])secret|api_?key|access_?key|account_?key"
    r"|shared_?key|private_?key|(access|auth|bearer|api|hf|github|gitlab|slack|npm|pypi|registry|wandb)_?token|^token"
    r"|connection_?string|_(secret|token|password))$"
)
"""Names of properties and variables whose values are secrets."""
