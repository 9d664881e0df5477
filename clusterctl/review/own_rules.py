"""A team's own rules: in Rego by the real `opa`, or as a Python function in a process of its own.

Their text comes with the policies, from the base of a change or from a path that a person names; here nothing is read
from the head.  What they are given is data; neither sees this process's environment.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clusterctl.errors import ClusterctlError
from clusterctl.json_text import json_text
from clusterctl.review.policies_file import INSTALL_OPA, OwnRule, Policies
from clusterctl.review.value import Finding, Level

SECONDS = 20
"""That one rule may take: Infracost's and conftest's rules take well below one.  Assumption."""
MAX_OUTPUT_BYTES = 4 << 20
MEMORY_BYTES = 1 << 30
MAX_FINDINGS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What own rules are given."""

    review: Mapping[str, Any]
    """As `clusterctl review --json` writes it."""
    infracost: Mapping[str, Any]
    """As `--format infracost-json` writes it."""


class OwnFinding(BaseModel):
    """What an own rule says: a finding's fields, and those of Infracost's rules."""

    model_config = ConfigDict(extra="ignore")

    message: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    msg: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    failed: bool = True
    subject: Annotated[str, Field(max_length=1000)] = ""
    file: Annotated[str, Field(max_length=1000)] = ""
    line: Annotated[int, Field(ge=1)] | None = None
    level: Level | None = None


_ANSWER = TypeAdapter(Annotated[list[OwnFinding], Field(max_length=MAX_FINDINGS)])


def own_findings(policies: Policies, documents: Documents) -> Iterator[Finding]:
    """What a team's own rules say.  Raises ClusterctlError where one can't be run."""
    for own in policies.content.own:
        run = _rego if own.rego else _python
        for found in _checked(own, run(own, policies.own_texts[own.file], documents)):
            if found.failed:
                yield Finding(
                    rule=own.id,
                    group=own.file,
                    level=found.level or own.level,
                    message=found.message or found.msg or "",
                    why=own.why,
                    subject=found.subject or found.file or own.id,
                    file=found.file,
                    line=found.line,
                )


def _checked(own: OwnRule, answer: Any) -> list[OwnFinding]:
    rows = answer if isinstance(answer, list) else [answer]
    try:
        found = _ANSWER.validate_python([{"message": row} if isinstance(row, str) else row for row in rows])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ClusterctlError(
            f"{own.file}: its answer is no list of findings: {place} {first['msg'].lower()}",
            hint="each finding has message, and may have subject, file, line, level",
        ) from error
    if any(not (row.message or row.msg) for row in found):
        raise ClusterctlError(
            f"{own.file}: a finding has no message", hint="give message, or msg as Infracost's rules do"
        )
    return found


# Rego


def _rego(own: OwnRule, text: str, documents: Documents) -> Any:
    """The set `deny` of a file's package.  Rules for Infracost get its JSON, others the review with it inside."""
    opa = shutil.which("opa")
    if opa is None:
        raise ClusterctlError(f"{own.file} is a rule in Rego, and opa is not installed", hint=INSTALL_OPA)
    package = re.search(r"^\s*package\s+([A-Za-z_][\w.]*)\s*$", text, re.MULTILINE)
    if package is None:
        raise ClusterctlError(f"{own.file}: names no package", hint="`package infracost`, or a name of your own")
    name = package.group(1)
    given = (
        {**documents.infracost, "review": documents.review}
        if name == "infracost"
        else {**documents.review, "infracost": documents.infracost}
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rule.rego").write_text(text, "utf-8")
        (Path(folder) / "input.json").write_text(json_text(given), "utf-8")
        first = _eval(own, opa, folder, name, ())
        answer = first if "errors" not in first else _eval(own, opa, folder, name, ("--v0-compatible",))
        if "errors" in answer:
            older = re.search(r"^\s*\w+\[.*\]\s*\{", text, re.MULTILINE) is not None
            raise _rego_error(own, answer if older else first)
    results = answer.get("result")
    if not results:
        raise ClusterctlError(f"{own.file}: package {name} has no rule deny", hint="`deny contains out if { … }`")
    return results[0]["expressions"][0]["value"]


def _eval(own: OwnRule, opa: str, folder: str, package: str, options: tuple[str, ...]) -> dict[str, Any]:
    command = [opa, "eval", "--format", "json", *options, "--data", "rule.rego", "--input", "input.json"]
    code, output, errors = _run(own, [*command, f"data.{package}.deny"], folder=folder)
    try:
        answer = json.loads(output)
    except ValueError:
        last = errors.strip().splitlines()[-1:] or [f"exit code {code}"]
        raise ClusterctlError(f"{own.file}: opa failed: {last[0][:300]}") from None
    return answer if isinstance(answer, dict) else {}


def _rego_error(own: OwnRule, answer: Mapping[str, Any]) -> ClusterctlError:
    first = answer["errors"][0]
    place = first.get("location") or {}
    where = f":{place['row']}:{place.get('col', 1)}" if isinstance(place, dict) and place.get("row") else ""
    return ClusterctlError(f"{own.file}{where}: opa refuses it: {first.get('message', 'no reason given')}")


# Python

_CHILD = """
import json, resource, sys
given = json.load(sys.stdin)
resource.setrlimit(resource.RLIMIT_AS, (given["memory"], given["memory"]))
answer, sys.stdout = sys.stdout, sys.stderr
names = {"__name__": "own_rule", "__file__": given["file"]}
exec(compile(given["text"], given["file"], "exec"), names)
if not callable(names.get("check")):
    sys.exit("it has no function check(review)")
answer.write(json.JSONEncoder().encode(list(names["check"](given["review"]) or ())))
"""


def _python(own: OwnRule, text: str, documents: Documents) -> Any:
    """What `check(review)` of a file returns; it runs in a process of its own, without our modules in sight."""
    review = {**documents.review, "infracost": documents.infracost}
    given = {"text": text, "file": own.file, "review": review, "memory": MEMORY_BYTES}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-I", "-B", "-c", _CHILD]
        code, output, errors = _run(own, command, folder=folder, given=json_text(given))
    if code != 0:
        last = errors.strip().splitlines()[-1:] or [f"exit code {code}"]
        line = re.findall(rf'File "{re.escape(own.file)}", line (\d+)', errors)[-1:]
        where = f"{own.file}:{line[0]}" if line else own.file
        raise ClusterctlError(f"{where}: the rule failed: {last[0][:300]}")
    try:
        return json.loads(output)
    except ValueError:
        raise ClusterctlError(f"{own.file}: its answer is no JSON") from None


_LIMITED = ["/bin/sh", "-c", f'ulimit -c 0; ulimit -f {MAX_OUTPUT_BYTES // 512}; exec "$@"', "sh"]
"""A shell that runs a command whose files end at the limit; POSIX counts blocks of 512 bytes."""


def _run(own: OwnRule, command: list[str], *, folder: str, given: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors of a child without our environment.  Raises ClusterctlError at a limit."""
    with (Path(folder) / "output").open("w+b") as output, (Path(folder) / "errors").open("w+b") as errors:
        try:
            done = subprocess.run(  # noqa: S603 - opa, or this Python, with arguments of ours
                [*_LIMITED, *command],
                input=given.encode(),
                stdout=output,
                stderr=errors,
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8", "GOMEMLIMIT": f"{MEMORY_BYTES}"},
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ClusterctlError(f"{own.file}: the rule took more than {SECONDS} s") from None
        except OSError as error:
            raise ClusterctlError(f"{own.file}: {command[0]} can't be started: {error.strerror}") from error
        if Path(folder, "output").stat().st_size >= MAX_OUTPUT_BYTES:
            raise ClusterctlError(f"{own.file}: its answer is larger than {MAX_OUTPUT_BYTES >> 20} MiB")
        output.seek(0)
        errors.seek(0)
        return (
            done.returncode,
            output.read().decode("utf-8", "replace"),
            errors.read(1 << 20).decode("utf-8", "replace"),
        )
