"""Our code and a Python for it in a place: made once for each version, in `site/` of the folder there."""

from __future__ import annotations

import functools
import hashlib
import io
import shlex
import tarfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.paths import bundle_root
from clusterctl.targets.shell import Shell

BUNDLED = ("templates", "examples")
"""What a supervisor needs of what is bundled."""
PACKAGE = Path(__file__).resolve().parents[1]
ENVIRONMENT_SECONDS = 900.0
UNPACK_SECONDS = 120.0


def make_site(shell: Shell, root: str, *, python: str = "", extras: tuple[str, ...] = ()) -> tuple[str, str]:
    """Folder of our code and path of a Python in the place, made where they are missing.

    root: the folder there.  python: one that was made for it, with our requirements in it; empty = make one, which
    needs a network there.  Raises ClusterctlError, Unreachable.
    """
    digest, content = archive()
    code = f"{root}/site/code-{digest}"
    where, done = shlex.quote(code), shlex.quote(f"{code}/.complete")
    if shell.run(f"[ -e {done} ]", seconds=30).exit_code != 0:
        script = f"""umask 077; part={where}.$$; trap 'rm -rf "$part"' EXIT
mkdir -p "$part" && tar -xzf - -C "$part" && touch "$part/.complete" || exit 1
[ -e {done} ] || rm -rf {where}
mv -T "$part" {where} 2>/dev/null || [ -e {done} ]"""
        shell.must(script, seconds=UNPACK_SECONDS, stdin=content, what="clusterctl can't be put there")
    if python:
        _check(shell, python, code, f"`{python}` is no Python for clusterctl")
        return code, python
    return code, _environment(shell, root, code, extras)


def requirements(extras: tuple[str, ...]) -> list[str]:
    """What our own metadata says that we need, with some extras."""
    found = []
    for text in requires("clusterctl") or ():
        requirement, _, marker = text.partition(";")
        if not marker or any(f"'{extra}'" in marker.replace('"', "'") for extra in extras):
            found.append(requirement.strip())
    return sorted(found)


def _environment(shell: Shell, root: str, code: str, extras: tuple[str, ...]) -> str:
    """A Python environment with our requirements."""
    wanted = "\n".join(requirements(extras)) + "\n"
    folder = f"{root}/site/python-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python, quoted = f"{folder}/bin/python", shlex.quote(folder)
    if shell.run(f"[ -e {quoted}/.complete ]", seconds=30).exit_code == 0:
        return python
    script = f"""umask 077; mkdir -p {shlex.quote(root)}/site && cd {shlex.quote(root)}/site || exit 1
exec 9>.lock; flock 9; [ -e {quoted}/.complete ] && exit 0
rm -rf {quoted}; cat >requirements.txt
if command -v uv >/dev/null; then
  uv venv -q --python '>=3.11' {quoted} && uv pip install -q --python {quoted}/bin/python -r requirements.txt || exit 1
else
  for p in python3.14 python3.13 python3.12 python3.11 python3; do
    "$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && found=$p && break
  done
  [ -n "${{found:-}}" ] || {{ echo "it has neither uv nor Python 3.11" >&2; exit 1; }}
  "$found" -m venv {quoted} && {quoted}/bin/python -m pip install -q -r requirements.txt || exit 1
fi
touch {quoted}/.complete"""
    try:
        shell.must(
            script,
            seconds=ENVIRONMENT_SECONDS,
            stdin=wanted.encode(),
            what="a Python environment for clusterctl can't be made",
        )
    except ClusterctlError as error:
        hint = "where it has no network: make one elsewhere, put it there, and name its `python` for this place"
        raise type(error)(error.message, hint=error.hint or hint) from error
    _check(shell, python, code, f"{folder} can't run clusterctl")
    return python


def _check(shell: Shell, python: str, code: str, what: str) -> None:
    script = f"PYTHONPATH={shlex.quote(code)} {shlex.quote(python)} -P -c 'import clusterctl.runs.supervisor'"
    shell.must(script, seconds=UNPACK_SECONDS, what=what)


@functools.cache
def archive() -> tuple[str, bytes]:
    """Our packages as an archive, and what tells its content from others'."""
    digest, packed = hashlib.sha256(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as tar:
        for name, file in sorted(_files()):
            content = file.read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, io.BytesIO(content))
    return digest.hexdigest()[:12], packed.getvalue()


def _files() -> Iterator[tuple[str, Path]]:
    folders = {"clusterctl": PACKAGE, "planners": PACKAGE.parent / "planners"}
    folders |= {f"clusterctl/_bundled/{name}": bundle_root() / name for name in BUNDLED}
    for name, folder in folders.items():
        for file in folder.rglob("*"):
            inside = file.relative_to(folder)
            if (
                file.is_file()
                and "__pycache__" not in inside.parts
                and (name, inside.parts[0]) != ("clusterctl", "_bundled")
            ):
                yield f"{name}/{inside}", file
