"""The languages: how each is compiled and run, and where its tools are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SYSTEM = Path("/usr")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """Command lines are run in the working folder; `{memory_mib}` stands for the heap that the run may fill."""

    name: str
    source: str
    compile: tuple[str, ...] = ()
    artifact: str = ""
    """What compiling leaves for the run: a file or a folder."""
    run: tuple[str, ...]
    environ: tuple[tuple[str, str], ...] = ()

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs that must be there."""
        return tuple(dict.fromkeys(line[0] for line in (self.compile, self.run) if line and "/" not in line[0]))


LANGUAGES = {
    language.name: language
    for language in (
        Language(name="python", source="main.py", run=("python3", "-B", "main.py")),
        Language(
            name="cpp",
            source="main.cpp",
            compile=("g++", "-std=c++17", "-O2", "-pthread", "-o", "main", "main.cpp"),
            artifact="main",
            run=("./main",),
        ),
        Language(name="bash", source="main.sh", run=("bash", "main.sh")),
        Language(name="nodejs", source="main.js", run=("node", "--max-old-space-size={memory_mib}", "main.js")),
        Language(
            name="go",
            source="main.go",
            compile=("go", "build", "-o", "main", "main.go"),
            artifact="main",
            run=("./main",),
            environ=(("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0"), ("GOTELEMETRY", "off")),
        ),
        Language(
            name="rust",
            source="main.rs",
            compile=("rustc", "--edition=2021", "-O", "-o", "main", "main.rs"),
            artifact="main",
            run=("./main",),
        ),
        Language(
            name="java",
            source="Main.java",
            compile=("javac", "-J-Xmx{memory_mib}m", "-J-XX:+UseSerialGC", "-d", "classes", "Main.java"),
            artifact="classes",
            run=("java", "-Xmx{memory_mib}m", "-XX:+UseSerialGC", "-ea", "-cp", "classes:.", "Main"),
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A language's tools on this machine."""

    folders: tuple[tuple[str, str], ...] = ()
    """Shown read-only in the sandbox: (folder here, folder there).  Empty when all is below /usr."""
    path: str = SYSTEM_PATH
    """PATH in the sandbox."""
    absent: str | None = None
    """Why it can't be used."""


def languages() -> dict[str, str | None]:
    """Language → why it can't be used here, or None when it can."""
    return {name: toolchain(name).absent for name in LANGUAGES}


@cache
def toolchain(name: str) -> Toolchain:
    """Where the tools of language `name` are.  Tools outside /usr are shown below /toolchain-N, never at home."""
    roots: list[Path] = []
    path: list[str] = []
    for tool in LANGUAGES[name].tools:
        found = _find(tool)
        if found is None or not found.exists():
            return Toolchain(absent=f"{tool} is not on PATH")
        root = found.resolve().parent.parent
        if root.is_relative_to(SYSTEM):
            path.append(str(found.parent if found.is_relative_to(SYSTEM) else root / "bin"))
        elif _is_personal(root):
            return Toolchain(absent=f"{tool} lies among personal files, in {root}")
        elif root not in roots:
            path.append(f"/toolchain-{len(roots)}/bin")
            roots.append(root)
    folders = [(str(root), f"/toolchain-{number}") for number, root in enumerate(roots)]
    if name == "java":  # Debian keeps the runtime's settings in /etc
        folders += [(str(folder), str(folder)) for folder in Path("/etc").glob("java-*") if folder.is_dir()]
    return Toolchain(folders=tuple(folders), path=":".join(dict.fromkeys([*path, *SYSTEM_PATH.split(":")])))


def _find(tool: str) -> Path | None:
    """The system's own `tool` before what managers of versions put on PATH; those put stand-ins there."""
    found = shutil.which(tool, path=SYSTEM_PATH) or shutil.which(tool)
    if found is None or Path(found).is_relative_to(SYSTEM):
        return None if found is None else Path(found)
    if tool == "python3":
        return Path(sys.base_prefix, "bin", tool)
    if tool == "rustc":
        done = subprocess.run([found, "--print", "sysroot"], capture_output=True, text=True, check=False, timeout=20)
        return Path(done.stdout.strip(), "bin", tool) if done.returncode == 0 else None
    return Path(found)


def _is_personal(root: Path) -> bool:
    home = Path.home()
    return home.is_relative_to(root) or root in (home / ".local", home / ".config", home / ".cache")
