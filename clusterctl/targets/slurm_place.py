"""What is there on a Slurm cluster: one script that asks the scheduler and reads what the ranks say, and its answer."""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.foreign_files import append
from clusterctl.targets.accounting import Use
from clusterctl.targets.base import Unreachable
from clusterctl.targets.role_folder import RoleFolder, read_folder
from clusterctl.targets.shell import Shell
from clusterctl.targets.slurm_access import agent_command
from clusterctl.targets.slurm_accounting import SOURCE, allocation_use
from clusterctl.targets.slurm_jobs import MOST_LETTERS, SACCT, SQUEUE, SlurmJob, parse_jobs, seconds_of, time_limit

SEPARATOR = "\x1e"
MOST_BYTES = 65536
"""Of a file that a rank writes."""
LOOK_SECONDS = 8.0
ACT_SECONDS = 8.0
PROGRAMS = tuple(Path(__file__).with_name(name) for name in ("node_agent.py", "rank.py"))
"""What runs a rank in the place, by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is there of a run, at one moment of the place's own clock."""

    now: datetime
    jobs: tuple[SlurmJob, ...]
    folders: tuple[RoleFolder, ...]
    ready: frozenset[str]
    """Allocations that SkyPilot has prepared."""


class SlurmPlace:
    """A run's folder on the cluster, and the scheduler, through a shell."""

    def __init__(self, shell: Shell, root: str) -> None:
        """root: our folder there, `~/.clusterctl`."""
        self.shell, self._root = shell, root
        self._home = ""
        self._longest: dict[str, float | None] = {}

    @property
    def root(self) -> str:
        """Our folder there, as an absolute path.  Raises Unreachable."""
        if self._root.startswith("~"):
            self._root = f"{self.home}{self._root[1:]}"
        return self._root

    @property
    def home(self) -> str:
        """The user's home there.  Raises Unreachable."""
        if not self._home:
            self._home = self.shell.must("echo ~", seconds=ACT_SECONDS, what="the home folder").strip()
        return self._home

    def folder(self, run_id: str) -> str:
        """The run's folder there."""
        return f"{self.root}/runs/{run_id}"

    def longest(self, partition: str) -> float | None:
        """Seconds that a job may have in a partition; None = any.  A job that wants more waits for ever."""
        if partition not in self._longest:
            script = f"scontrol show partition {shlex.quote(partition)} -o"
            text = self.shell.must(script, seconds=ACT_SECONDS, what=f"the limits of partition {partition}")
            found = re.search(r"\bMaxTime=(\S+)", text)
            self._longest[partition] = seconds_of(found[1]) if found else None
        return self._longest[partition]

    most_letters, accounting = MOST_LETTERS, SOURCE
    """Of an allocation's name; who says what it uses, where no agent does."""
    unmeasured = "no agent: Python in the place lacks `clusterctl[telemetry]`"

    def agent(self, folder: str) -> str:
        """Command of the agent beside the roles of the run of this folder; empty where the place has none."""
        return agent_command(folder)

    def use(self, jobs: Sequence[SlurmJob]) -> Mapping[str, Use]:
        """What allocations use, by their names.  Raises ClusterctlError where nobody says."""
        return allocation_use(self.shell, jobs)

    def listing(self, *, history: bool) -> str:
        """Script that lists our jobs; history: those, too, that only the accounting remembers."""
        accounting = f"{SACCT} 2>/dev/null" if history else ":"
        return f"export SLURM_TIME_FORMAT=%s\n{SQUEUE} || exit 12\n{accounting}"

    def parse(self, text: str) -> Sequence[SlurmJob]:
        """What that script says.  Raises ValueError."""
        return parse_jobs(text)

    def look(self, run_id: str, *, ready: Sequence[str], deadline: datetime | None, history: bool) -> Seen:
        """All that is there.  ready: allocations that are ready from now on; history: ask the accounting, too.

        Raises Unreachable where scheduler or folder can't be asked.
        """
        folder = shlex.quote(self.folder(run_id))
        limit = (
            "rm -f deadline"
            if deadline is None
            else f"echo {deadline.timestamp():.0f} >.deadline && mv .deadline deadline"
        )
        marks = "".join(f"touch machines/{shlex.quote(name)}\n" for name in ready)
        script = f"""mkdir -p {folder}/roles {folder}/machines {folder}/logs && cd {folder} || exit 11
{marks}{limit}
date +%s
{self.listing(history=history)}
for file in machines/* roles/*/job.json roles/*/stop roles/*/rank-*.json; do
  [ -f "$file" ] && printf '\\036%s\\n' "$file" && head -c {MOST_BYTES} "$file"
done
exit 0"""
        ran = self.shell.run(script, seconds=LOOK_SECONDS)
        if ran.exit_code != 0:
            what = "its folder can't be used" if ran.exit_code == 11 else "its scheduler does not answer"
            raise Unreachable(f"{self.shell.name}: {what}: {_last(ran.stderr) or f'exit code {ran.exit_code}'}")
        listing, *files = ran.text.split(SEPARATOR)
        now, _, jobs = listing.partition("\n")
        try:
            moment, parsed = datetime.fromtimestamp(int(now), tz=UTC), self.parse(jobs)
        except ValueError as error:
            raise Unreachable(f"{self.shell.name} gave an answer that can't be read: {error}") from error
        return _seen(moment, parsed, [entry.partition("\n") for entry in files])

    def put(self, run_id: str, role: str, files: Mapping[str, str], job: str) -> None:
        """Make a role's folder, whole: what is there already stays.  Raises Unreachable, ClusterctlError."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for program in PROGRAMS:
                _add(archive, program.name, program.read_text("utf-8"))
            for name, text in files.items():
                _add(archive, f"roles/{role}/{name}", text)
            _add(archive, f"roles/{role}/.job", job)
        folder, at = shlex.quote(self.folder(run_id)), shlex.quote(f"roles/{role}")
        script = f"""umask 077; mkdir -p {folder}/{at} {folder}/checkpoints && cd {folder} || exit 1
[ -f {at}/job.json ] && exit 0
tar -x --no-same-owner -f - && mv {at}/.job {at}/job.json"""
        self.shell.must(script, seconds=ACT_SECONDS, stdin=content.getvalue(), what="a role's folder can't be written")

    def stop(self, run_id: str, role: str, *, now: bool) -> None:
        """Ask all ranks of a role to end; now: at once."""
        folder = shlex.quote(f"{self.folder(run_id)}/roles/{role}")
        word = "now" if now else "please"
        script = f"cd {folder} 2>/dev/null || exit 0; echo {word} >.stop && mv .stop stop"
        self.shell.must(script, seconds=ACT_SECONDS, what="a role can't be asked to end")

    def release(self, job: SlurmJob, *, now: bool) -> None:
        """Give an allocation back: by SkyPilot's own script, which cleans up; now: by the scheduler alone."""
        gently = "" if now or job.since is None else "--full -s TERM"
        script = f"scancel {gently} {shlex.quote(job.job_id)} 2>&1 || true"
        self.shell.must(script, seconds=ACT_SECONDS, what="an allocation can't be released")

    def shorten(self, job: SlurmJob, seconds: float) -> None:
        """Lower an allocation's own time limit, as its user may; nobody but an operator can raise it again."""
        script = f"scontrol update JobId={shlex.quote(job.job_id)} TimeLimit={time_limit(seconds, None)} 2>&1 || true"
        self.shell.must(script, seconds=ACT_SECONDS, what="an allocation's time limit can't be lowered")

    def jobs(self) -> Sequence[SlurmJob]:
        """All our jobs of this user.  Raises Unreachable."""
        ran = self.shell.run(self.listing(history=False), seconds=LOOK_SECONDS)
        if ran.exit_code != 0:
            raise Unreachable(f"{self.shell.name}: its scheduler does not answer: {_last(ran.stderr)}")
        try:
            return self.parse(ran.text)
        except ValueError as error:
            raise Unreachable(f"{self.shell.name} gave an answer that can't be read: {error}") from error

    def fetch(self, run_id: str, into: Path, results: Sequence[str]) -> None:
        """Bring what is new of job reports, logs and results here.  Raises Unreachable, OSError."""
        folder = self.folder(run_id)
        if Path(folder) == into:
            return
        logs = self.shell.list(f"{folder}/logs")
        tops = self.shell.list(folder)
        sizes = {f"logs/{name}": size for name, size in logs.items() if name.endswith(".log")}
        sizes |= {name: tops[name] for name in ("reports.jsonl", *results) if name in tops}
        for name, size in sizes.items():
            here = into / name
            have = here.stat().st_size if here.exists() else 0
            if size > have and (new := self.shell.read(f"{folder}/{name}", offset=have)):
                here.parent.mkdir(parents=True, exist_ok=True)
                append(here, new)


def _seen(now: datetime, jobs: Sequence[SlurmJob], files: Sequence[tuple[str, str, str]]) -> Seen:
    by_folder: dict[str, dict[str, str]] = {}
    ready = set()
    for path, _, content in files:
        kind, name, *rest = path.split("/")
        if kind == "machines":
            ready.add(name)
        elif rest:
            by_folder.setdefault(name, {})[rest[0]] = content
    folders = tuple(found for name, texts in sorted(by_folder.items()) if (found := read_folder(name, texts)))
    return Seen(now=now, jobs=tuple(jobs), folders=folders, ready=frozenset(ready))


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    if ".." in Path(name).parts or name.startswith("/"):
        raise ClusterctlError(f"{name} is no path within a role's folder")
    archive.addfile(entry, io.BytesIO(content))


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
