"""One malformed input: what is run on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """The arguments to run; or, where no command reads the input at once, the function that does."""

    args: list[str] = field(default_factory=list)
    act: Callable[[], Any] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    output: Path | None = None
    """What must not exist if they fail."""
