"""`make pictures`: what the README shows, light and dark: the page of a plan, and two pages of the dashboard.

The plan is the command's own output; the dashboard is the real one on the simulated day, in Chromium.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from clusterctl.dashboard.sample import ensure_sample

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "docs" / "pictures"
COMMAND = Path(sys.executable).parent / "clusterctl"
SPEC = "templates/specs/rlcef.yaml"
LAST_LINE = "  total"
"""Of the plan's page: what stands below is shown by the command."""
COLUMNS = 100
PAGES = {"overview": "overview", "gpus": "gpus"}
"""File → page of the dashboard."""
SIZE = {"width": 1280, "height": 860}
QUALITY = 85
"""Of a picture's WebP."""


def _rgb(colours: str) -> list[tuple[int, int, int]]:
    return [(int(each[:2], 16), int(each[2:4], 16), int(each[4:], 16)) for each in colours.split()]


THEMES = {
    "light": TerminalTheme(
        *_rgb("ffffff 24292f"),
        _rgb("24292f b2232a 116329 7d4e00 0969da 8250df 1b7c83 57606a"),
        _rgb("57606a a40e26 1a7f37 633c01 218bff a475f9 3192aa 24292f"),
    ),
    "dark": TerminalTheme(
        *_rgb("0d1117 e6edf3"),
        _rgb("484f58 ff7b72 3fb950 d29922 58a6ff bc8cff 39c5cf b1bac4"),
        _rgb("6e7681 ffa198 56d364 e3b341 79c0ff d2a8ff 56d4dd f0f6fc"),
    ),
}
"""GitHub's own terminal colours, so that the page stands on its ground."""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {"CLUSTERCTL_HOME": home}
        page = plan_page(environ)
        for scheme, theme in THEMES.items():
            (FOLDER / f"plan-{scheme}.svg").write_text(plan_picture(page, theme), encoding="utf-8")
        ensure_sample(Path(home))
        with dashboard(environ) as address, chromium() as browser:
            for scheme in THEMES:
                for name, path in PAGES.items():
                    (FOLDER / f"{name}-{scheme}.webp").write_bytes(screenshot(browser, f"{address}/{path}", scheme))
    for made in sorted(FOLDER.iterdir()):
        print(f"{made.relative_to(REPOSITORY)}  {made.stat().st_size // 1024} kB")


def plan_page(environ: dict[str, str]) -> str:
    """What `clusterctl plan` prints on a terminal, in its colours."""
    done = subprocess.run(
        [COMMAND, "plan", SPEC],
        cwd=REPOSITORY,
        env=environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def plan_picture(page: str, theme: TerminalTheme) -> str:
    """The upper part of a plan's page as an SVG that fetches nothing."""
    lines = page.splitlines()
    end = next(i for i, line in enumerate(lines) if Text.from_ansi(line).plain.startswith(LAST_LINE))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ clusterctl plan {SPEC}\n" + "\n".join(lines[: end + 1])), soft_wrap=True)
    picture = console.export_svg(title="clusterctl plan", theme=theme, unique_id="plan")
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)


@contextmanager
def dashboard(environ: dict[str, str]) -> Iterator[str]:
    """The address of a dashboard that serves meanwhile."""
    started = subprocess.run(
        [COMMAND, "dashboard", "--background"], env=environ, capture_output=True, text=True, check=True
    )
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([COMMAND, "dashboard", "--stop"], env=environ, capture_output=True, check=True)


@contextmanager
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        sys.exit("error: chromium is missing\nhint: Debian's package is chromium; `make test-engines` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


def screenshot(browser: Browser, address: str, scheme: str) -> bytes:
    """A page of the simulated day, drawn completely, as WebP."""
    page = browser.new_page(viewport=SIZE, color_scheme=scheme, timezone_id="UTC", locale="en-GB")  # type: ignore[arg-type]
    page.goto(f"{address}?data=simulated")
    page.wait_for_selector("h2")
    done = "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"
    page.wait_for_function(done)
    page.wait_for_timeout(1500)  # pictures are drawn after the script has ended
    drawn = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    made = io.BytesIO()
    drawn.convert("RGB").save(made, "WEBP", quality=QUALITY, method=6)
    return made.getvalue()


if __name__ == "__main__":
    main()
