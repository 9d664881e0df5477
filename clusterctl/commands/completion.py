"""`clusterctl completion`: the script that makes a shell complete our commands and options."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from typer import Argument

REQUEST = "_CLUSTERCTL_COMPLETE"
"""typer's own protocol: with this variable set, its root prints a script, or completions, instead of running."""


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Argument(help="Your shell.")]) -> None:
    """Print the completion script of a shell.

    bash: add `eval "$(clusterctl completion bash)"` to ~/.bashrc.

    zsh: add `eval "$(clusterctl completion zsh)"` to ~/.zshrc, after compinit.

    fish: `clusterctl completion fish > ~/.config/fish/completions/clusterctl.fish`.
    """
    from clusterctl.cli import root

    os.environ[REQUEST] = f"source_{shell}"
    try:
        root().main([], prog_name="clusterctl")  # answers the request and exits
    finally:
        del os.environ[REQUEST]
