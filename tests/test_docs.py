"""Docs that can't rot: their commands are run, their help blocks and tables are the program's own.

In a ```sh or ```console block (there after `$ `) of README.md and docs/, `clusterctl …` is run in a folder that holds
templates/ and tools/fit/cases/, and must exit 0, or with N after `# exit N`; `# not run: why` says why it isn't.
A `make` target must exist.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from clusterctl import cli, failure
from clusterctl.command_table import COMMANDS, CommandEntry
from clusterctl.errors import ClusterctlError

REPO = Path(__file__).resolve().parents[1]
COMMANDS_PAGE = REPO / "docs" / "commands.md"
PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
NEVER_RUN = ("cd ", "git ", "pip ", "uv ", "python ", "python3 ", "eval ", "export ", "source ", "bash .ci/run")
"""Installing and setting up: what a test must not do to the machine."""

Run = Callable[..., subprocess.CompletedProcess[str]]
Typed = Callable[[str], subprocess.CompletedProcess[str]]


def blocks(page: Path, *languages: str) -> list[str]:
    fences = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for language, text in fences if language in languages]


def documented_commands(page: Path) -> Iterator[str]:
    for text in blocks(page, "sh"):
        yield from (line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    for text in blocks(page, "console"):
        yield from (line[2:].strip() for line in text.splitlines() if line.startswith("$ "))


def make_targets() -> set[str]:
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


@pytest.fixture
def typed(in_process: Run, work_folder: Path, scripts: Path) -> Typed:
    """What a line does; one that is more than a command with its arguments is for a shell."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        if line.startswith("clusterctl ") and not re.search(r"[|<>&;$*~]", line):
            return in_process(*shlex.split(line, comments=True)[1:])
        environ = {"PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin", "HOME": str(work_folder), "COLUMNS": "100"}
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=work_folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_documented_commands_work(page: Path, typed: Typed) -> None:
    for line in documented_commands(page):
        if line.startswith("make "):
            wanted = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
            assert set(wanted) <= make_targets(), f"{page.name}: {line}"
        elif line.startswith("clusterctl"):
            if "# not run:" in line:
                continue
            expected = int(match[1]) if (match := re.search(r"# exit (\d+)", line)) else 0
            done = typed(line)
            assert done.returncode == expected, f"{page.name}: {line}\n{done.stderr}"
        else:
            assert line.startswith(NEVER_RUN), f"{page.name}: nobody checks `{line}`"


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_examples_in_help_work(entry: CommandEntry, typed: Typed) -> None:
    assert entry.examples
    for line in entry.examples:
        if "# not run:" not in line:
            done = typed(line)
            assert done.returncode == 0, f"{line}\n{done.stderr}"


def every_command() -> list[str]:
    """`plan`, `prices list`, …: groups and their commands."""
    names: list[str] = []
    for entry in COMMANDS:
        names.append(entry.name)
        names += [f"{entry.name} {child}" for child in getattr(cli.load(entry), "commands", {})]
    return names


@pytest.mark.parametrize("name", every_command())
def test_every_command_has_its_section_with_its_help(name: str, in_process: Run, pytestconfig: pytest.Config) -> None:
    shown = in_process(*name.split(), "--help").stdout
    block = f"```text\n{shown.rstrip()}\n```\n"
    page = COMMANDS_PAGE.read_text(encoding="utf-8")
    heading = f"## `clusterctl {name}`\n"
    found = re.search(rf"^{re.escape(heading)}(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    if pytestconfig.getoption("--update-golden"):
        prose = re.sub(r"```text\n.*?^```\n", "", found[1] if found else "", flags=re.DOTALL | re.MULTILINE).strip()
        section = f"{heading}\n{prose}\n\n{block}\n" if prose else f"{heading}\n{block}\n"
        page = page[: found.start()] + section + page[found.end() :] if found else f"{page.rstrip()}\n\n{section}"
        COMMANDS_PAGE.write_text(page.rstrip() + "\n", encoding="utf-8")
        return
    assert found, f"docs/commands.md has no section {heading}"
    assert block in found[1], "docs/commands.md is stale: pytest --update-golden tests/test_docs.py"


def test_no_section_outlives_its_command() -> None:
    documented = re.findall(r"^## `clusterctl ([a-z -]+)`$", COMMANDS_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(every_command())


def test_the_readme_lists_every_command_and_no_other() -> None:
    readme = (REPO / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `clusterctl ([a-z-]+)[^`]*` \|", readme, re.MULTILINE)
    assert sorted(listed) == sorted(entry.name for entry in COMMANDS)


def test_exit_codes_are_documented_and_real() -> None:
    page = (REPO / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    kinds = [ClusterctlError, *ClusterctlError.__subclasses__()]
    ours = {kind.exit_code for kind in kinds} | {failure.USAGE, failure.BUG}
    assert documented == ours | {0}


def test_the_readmes_file_tree_is_the_real_one() -> None:
    (tree,) = (text for text in blocks(REPO / "README.md", "text") if "pyproject.toml" in text)
    listed: dict[str, str] = {}
    parent = ""
    for line in tree.splitlines():
        name, _, words = line.strip().partition("  ")
        parent = parent if line.startswith(" ") else ""
        listed[parent + name] = words.strip()
        parent = parent or name
    opened = {path.partition("/")[0] for path in listed if "/" in path.rstrip("/")}
    assert set(listed) == real_tree(opened)
    assert [path for path, words in listed.items() if not words] == []


def real_tree(opened: set[str]) -> set[str]:
    """What git would keep: the checkout's entries and those of each folder in `opened`; folders end with a slash."""
    ignored = [line.rstrip("/") for line in (REPO / ".gitignore").read_text(encoding="utf-8").split()] + [
        ".git",
        "__init__.py",
    ]
    return {
        file.relative_to(REPO).as_posix() + ("/" if file.is_dir() else "")
        for folder in [REPO, *(REPO / name for name in opened)]
        for file in folder.iterdir()
        if not any(fnmatch(file.name, pattern) for pattern in ignored)
    }


def test_architecture_names_real_files_and_every_package() -> None:
    page = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", page))
    assert [path for path in named if not (REPO / path).exists()] == []
    packages = {
        f"{file.parent.relative_to(REPO)}/"
        for name in ("clusterctl", "planners")
        for file in REPO.glob(f"{name}/*/__init__.py")
    }
    assert packages <= named


def test_the_index_leads_to_every_page() -> None:
    index = REPO / "docs" / "index.md"
    linked = set(re.findall(r"\]\(([^)#]+\.md)", index.read_text(encoding="utf-8")))
    pages = {page.relative_to(REPO / "docs").as_posix() for page in (REPO / "docs").rglob("*.md")}
    assert linked == pages - {"index.md"}


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(REPO)} links to {target}"
