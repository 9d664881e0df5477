"""Real git repositories for the tests of a review, and small run specs that plan in a few hundredths of a second."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ENVIRON = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "2026-11-20T12:00:00Z",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_COMMITTER_DATE": "2026-11-20T12:00:00Z",
}  # fmt: skip


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, env=ENVIRON, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Repository:
    root: Path

    def write(self, **files: str) -> None:
        """Write files; `__` in a keyword stands for `/`, and each is a YAML."""
        for name, text in files.items():
            self.put(f"{name.replace('__', '/')}.yaml", text)

    def put(self, name: str | bytes, content: str | bytes) -> None:
        path = self.root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str = "change") -> str:
        """Commit all that is there; returns its id."""
        git(self.root, "add", "-A")
        git(self.root, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.root, "rev-parse", "HEAD")


def new_repository(root: Path) -> Repository:
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "-b", "main")
    return Repository(root)


def spec(name: str = "tiny", *, samples: int | str = 8, model: str = "clusterctl/smoke-tiny", more: str = "") -> str:
    """A run spec on a machine that exists, with a price; one line a field, `samples` on line 5."""
    return f"""name: {name}
stages:
  - kind: sft
    model: {model}
    samples: {samples}
    sample_tokens: {{mean: 120}}
    seq_len: 256
    global_batch_samples: 4
fleet:
  targets: ["slurm:mycluster"]
  machines:
    - {{target: "slurm:mycluster", name: cpu, vcpus: 2, memory_gib: 8, usd_per_hour: 0.1}}
{more}"""
