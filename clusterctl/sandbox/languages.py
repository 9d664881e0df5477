"""The languages: how each is compiled and run, and where its tools are."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from clusterctl.paths import bundle_root

BUNDLE = bundle_root().resolve()
"""Our examples hold answers and hidden tests: where a sandbox would see them, /usr/bin lies over them."""
SYSTEM = Path("/usr")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """As `languages.toml` says it."""

    source: str
    compile: str = ""
    artifact: str = ""
    run: str = "./main"
    environ: dict[str, str] = field(default_factory=dict)


_FILE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
LANGUAGES = {name: Language(**row) for name, row in _FILE.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A language's tools on this machine."""

    folders: tuple[tuple[str, str], ...] = ()
    """Shown read-only in the sandbox: (folder here, folder there).  Empty when all is below /usr."""
    path: str = SYSTEM_PATH
    """PATH in the sandbox."""
    absent: str | None = None
    """Why it can't be used."""


NO_TOOLS = Toolchain()


def languages() -> dict[str, str | None]:
    """Language → why it can't be used here, or None when it can."""
    return {name: toolchain(name).absent for name in LANGUAGES}


@cache
def toolchain(name: str) -> Toolchain:
    """Where the tools of language `name` are.  Tools outside /usr are shown below /toolchain-N, never at home."""
    language, roots, path = LANGUAGES[name], list[Path](), list[str]()
    for tool in {line.split()[0] for line in (language.compile, language.run) if line} - {"./main"}:
        found = _find(tool)
        if found is None or not found.exists():
            return Toolchain(absent=f"{tool} is not on PATH")
        root = found.resolve().parent.parent
        if root.is_relative_to(SYSTEM):
            path.append(str(found.parent if found.is_relative_to(SYSTEM) else root / "bin"))
        elif Path.home().is_relative_to(root) or root == Path.home() / ".local":
            return Toolchain(absent=f"{tool} lies among personal files, in {root}")
        elif root not in roots:
            path.append(f"/toolchain-{len(roots)}/bin")
            roots.append(root)
    folders = [(str(root), f"/toolchain-{number}") for number, root in enumerate(roots)]
    if name == "java":  # Debian keeps the runtime's settings in /etc
        folders += [(str(folder), str(folder)) for folder in Path("/etc").glob("java-*") if folder.is_dir()]
    for here, there in [(str(SYSTEM), str(SYSTEM)), *folders]:
        if BUNDLE.is_relative_to(here):
            folders.append((f"{SYSTEM}/bin", str(Path(there, BUNDLE.relative_to(here)))))
    return Toolchain(folders=tuple(folders), path=":".join(dict.fromkeys([*path, *SYSTEM_PATH.split(":")])))


def _find(tool: str) -> Path | None:
    """The system's own `tool` before what managers of versions put on PATH; those put stand-ins there."""
    found = shutil.which(tool, path=SYSTEM_PATH) or shutil.which(tool)
    if found is None or Path(found).is_relative_to(SYSTEM):
        return None if found is None else Path(found)
    if tool == "rustc":
        done = subprocess.run([found, "--print", "sysroot"], capture_output=True, text=True, check=False, timeout=20)  # noqa: S603 - a list, no shell
        return Path(done.stdout.strip(), "bin", tool) if done.returncode == 0 else None
    return Path(sys.base_prefix, "bin", tool) if tool == "python3" else Path(found)
