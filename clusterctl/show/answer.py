"""One plan, or the difference of two, in the form that was asked for; and how it reaches stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from clusterctl.console import Terminal
from clusterctl.show.difference import Difference
from planners.plan.value import Plan

DRAWN_WITH = "·–—×…−█━┃└─├│▸Δ±→"
"""What pages are made of: where it can't be encoded, ASCII stands in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What `plan` found out.  The drawing modules are imported when their form is asked for."""

    plan: Plan
    found: Sequence[Difference]
    """Differences to show instead of the plan; the last is the whole answer."""
    source: str
    verbose: bool
    screen: Terminal

    def page(self) -> str:
        """The terminal page of the plan or of the differences."""
        if self.found:
            from clusterctl.show.compare import render_differences

            return render_differences(self.found, self.screen, verbose=self.verbose)
        from clusterctl.show.page import render_page

        return render_page(self.plan, self.screen, source=self.source, verbose=self.verbose)

    def json(self) -> str:
        """`clusterctl.plan/1`, or `clusterctl.difference/1`."""
        from clusterctl.files.plan_file import plan_text

        return self.found[-1].as_json() if self.found else plan_text(self.plan)

    def markdown(self) -> str:
        """The comment for a pull request."""
        from clusterctl.show.markdown import render_markdown

        return render_markdown(self.plan, source=self.source, found=self.found[-1] if self.found else None)

    def explanation(self, wanted: str) -> str:
        """The arithmetic of one number.  Raises SpecError for an unknown id."""
        from clusterctl.show.explain import render_explanation

        return render_explanation(self.plan, self.screen, source=self.source, wanted=wanted, verbose=self.verbose)


def emit(text: str, *, utf8: bool = False) -> None:
    """Print text to stdout, in ASCII where stdout can't do better; `utf8` (JSON) is UTF-8 whatever the locale."""
    if utf8:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        return
    from clusterctl.show.spans import to_ascii

    try:
        DRAWN_WITH.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = to_ascii(text)
    sys.stdout.write(text)  # typer.echo would take the colours out that were asked for
