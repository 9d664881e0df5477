"""How a Slurm cluster is reached: by the user's `~/.slurm/config` from elsewhere, without ssh from inside.

SkyPilot knows one way, ssh to a login node.  Inside the cluster a private sshd answers it over a pipe, with keys of its
own, so that the user's authorized_keys stays as it is.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.telemetry.settings import installed

IN_PLACE = "CLUSTERCTL_IN_PLACE"
"""Variable that says to a process that it lives in the place of its run."""
SSHD_PATH = "/usr/sbin:/usr/local/sbin:/sbin"


def in_place() -> bool:
    """Whether this process runs inside the cluster."""
    return bool(os.environ.get(IN_PLACE))


def own_python() -> str:
    """How a role starts Python with our code in it: as this process was started."""
    code = os.environ.get("PYTHONPATH", "")  # of the supervisor, in the place: no role inherits it
    return shlex.join([*(["env", f"PYTHONPATH={code}"] if code else []), sys.executable])


def agent_command(folder: str) -> str:
    """Command of the agent beside the roles of the run of this folder; empty where this Python lacks its extra."""
    command = f"exec {own_python()} -P -m clusterctl.jobs.telemetry_role {shlex.quote(folder)}"
    return command if installed() else ""


def client_config() -> Path:
    """The file that names the user's clusters, as SkyPilot reads it."""
    return Path.home() / ".slurm" / "config"


def known_clusters(config: Path) -> list[str]:
    """Clusters that the file names; patterns are none.  Raises ClusterctlError where it can't be read."""
    try:
        text = config.read_text("utf-8", "replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ClusterctlError(f"{config} can't be read: {error.strerror}") from error
    names = [name for line in re.findall(r"(?im)^\s*Host\s+(.*)$", text) for name in line.split()]
    return [name for name in names if not set(name) & set("*?!")]


def place_config(cluster: str, home: Path) -> str:
    """Text of the `~/.slurm/config` that SkyPilot's server reads, whose home is another one.

    Raises ClusterctlError where the cluster can't be reached so.
    """
    if in_place():
        return _pipe_config(cluster, home)
    config = client_config()
    if cluster not in known_clusters(config):
        raise ClusterctlError(f"{config} names no cluster {cluster}", hint="a Host block with HostName and User")
    return re.sub(r"(?m)(\s)~/", rf"\g<1>{pwd.getpwuid(os.getuid()).pw_dir}/", config.read_text("utf-8"))


def _pipe_config(cluster: str, home: Path) -> str:
    """A private sshd for each connection: `ProxyCommand sshd -i`."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{SSHD_PATH}")
    if sshd is None:
        raise ClusterctlError(
            "this node has no sshd, by which SkyPilot is let in", hint="install openssh-server on the nodes"
        )
    user = pwd.getpwuid(os.getuid())
    folder = home / "ssh"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("host", "user"):
        if not (folder / name).exists():
            subprocess.run(  # noqa: S603 - a fixed command
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],  # noqa: S607
                check=True,
                capture_output=True,
            )
    settings = folder / "sshd_config"
    settings.write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nAllowUsers {user.pw_name}\nStrictModes no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    command = shlex.join([sshd, "-i", "-f", str(settings)])
    return (
        f"Host {cluster}\n  HostName {os.uname().nodename}\n  User {user.pw_name}\n  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  ProxyCommand {command}\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
    )
