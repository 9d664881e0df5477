"""A Slurm cluster of Debian's packages in virtual machines of this one: a login node, two nodes with eight fake H100 each, two CPU nodes.

By hand, as root: `python tests/engines/slurm/cluster.py up`, `… down`, `… run login squeue`.  One test file at a time has the cluster of its
number: tests take its lock (`slurm_cluster` in conftest.py), and find one that was brought up by hand.

Each machine has its own process tree, host name, users, /tmp and network; all share a bridge that leads nowhere else.  What it would fetch
when it is made, SkyPilot finds in /srv, where `install.sh` has put it.  Nothing of this machine's /etc is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

NUMBER = int(os.environ.get("CLUSTERCTL_TEST_SLURM") or os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
"""Another one is another cluster beside the first, from 0 to 9: with its own folder, network and lock.  Each worker has its own."""
FOLDER = Path(f"/var/tmp/clusterctl-slurm{NUMBER or ''}")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines"
ENVIRONMENTS = ("remote", "skypilot-runtime")
"""Python environments that install.sh has made: ours with SkyPilot (for tests and, as /srv/remote, for supervisors in the cluster), and the one
that SkyPilot would make on each node."""
FRAMEWORKS = ("trl", "titan", "skyrl", "serve", "benchmarks")
"""Those of frameworks, on the nodes as /srv/NAME where install.sh has made them."""
SKYPILOT_PYTHON = CACHE / "remote" / "bin" / "python"
PLACE_PYTHON = "/srv/remote/bin/python"
HERE = Path(__file__).parent
BRIDGE, NETWORK = f"cc-slurm{NUMBER or ''}", f"10.78.{NUMBER}"
MACHINES = {"login": 10, "gpu1": 11, "gpu2": 12, "cpu1": 13, "cpu2": 14}
NODES = [name for name in MACHINES if name != "login"]
LOGIN = f"{NETWORK}.{MACHINES['login']}"
USER, USER_ID = "skyu", 4242
UP_SECONDS = 60
STARTED: dict[str, subprocess.Popen[bytes]] = {}
"""Our own children, by machine: they are taken leave of when the machine is switched off."""
PROGRAMS = ("slurmctld", "slurmdbd", "mariadbd", "slurmd", "munged", "sshd", "rsync", "unshare", "nsenter", "ip")

SLURM_CONF = f"""
ClusterName=mini
SlurmctldHost=login({LOGIN})
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={FOLDER}/state
SlurmdSpoolDir={FOLDER}/spool/%n
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=5
SlurmdTimeout=40
MinJobAge=3600
TaskProlog=/etc/slurm/task_prolog.sh
GresTypes=gpu
NodeName=gpu1,gpu2 NodeAddr={NETWORK}.11,{NETWORK}.12 CPUs=64 RealMemory=512000 Gres=gpu:H100:8 State=UNKNOWN
NodeName=cpu1,cpu2 NodeAddr={NETWORK}.13,{NETWORK}.14 CPUs=32 RealMemory=128000 State=UNKNOWN
PartitionName=gpu Nodes=gpu1,gpu2 MaxTime=1-00:00:00 State=UP
PartitionName=all Nodes=gpu1,gpu2,cpu1,cpu2 MaxTime=1-00:00:00 State=UP
PartitionName=closed Nodes=cpu2 AllowGroups=root State=UP
PartitionName=cpu Nodes=cpu1,cpu2 Default=YES MaxTime=1-00:00:00 State=UP
"""
ACCOUNTING_CONF = SLURM_CONF.replace("MinJobAge=3600", "MinJobAge=2").replace(
    "AccountingStorageType=accounting_storage/none",
    "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=login\nAccountingStoreFlags=job_comment",
)
"""With accounting, and a scheduler that forgets jobs soon after their end."""
SLURMDBD_CONF = """
AuthType=auth/munge
DbdHost=login
SlurmUser=root
StorageType=accounting_storage/mysql
StorageUser=root
PidFile=/run/slurmdbd.pid
"""
GRES_CONF = f"NodeName=gpu1,gpu2 Name=gpu Type=H100 File={FOLDER}/dev/fakegpu[0-7]\n"
TASK_PROLOG = """#!/bin/bash
# What a site without internet on its nodes prepares for SkyPilot: uv, and the Python environment that it would install.
if [ -n "$SLURM_JOB_NAME" ] && [ -f "$HOME/.sky_provision/$SLURM_JOB_NAME.sh" ]; then
  d="$HOME/.sky_clusters/$SLURM_JOB_NAME/.local/bin" r="/tmp/$SLURM_JOB_NAME"
  mkdir -p "$d" "$r"
  [ -e "$d/uv" ] || ln -sfn /srv/uv "$d/uv"
  [ -d "$r/skypilot-runtime" ] || { cp -a --no-preserve=ownership /srv/skypilot-runtime "$r/tmp.$$" && mv -T "$r/tmp.$$" "$r/skypilot-runtime"; }
fi >/dev/null 2>&1
echo "export UV_OFFLINE=1"
exit 0
"""
SSHD_CONFIG = """
HostKey /etc/slurm/host_ed25519
AllowUsers skyu
PasswordAuthentication no
MaxSessions 200
MaxStartups 200
Subsystem sftp internal-sftp
"""


def missing() -> str:
    """What must be installed before; empty where all is there."""
    here = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = [program for program in PROGRAMS if shutil.which(program, path=here) is None]
    if os.geteuid() != 0:
        lacking.append("root's rights")
    lacking += [str(CACHE / name) for name in ENVIRONMENTS if not (CACHE / name / "made-from").exists()]
    return f"missing: {', '.join(lacking)}; as root: sh tests/engines/install.sh" if lacking else ""


def mounted() -> list[str]:
    """The environments that every machine has under /srv."""
    return [*ENVIRONMENTS, *(name for name in FRAMEWORKS if (CACHE / name / "made-from.lock").exists())]


def is_up() -> bool:
    """Whether the controller answers and all nodes are idle or at work."""
    if not FOLDER.is_dir() or _pid("login") is None:
        return False
    listing = run("login", "sinfo", "-h", "-N", "-p", "all", "-o", "%N %t", check=False)
    states = dict(line.split() for line in listing.splitlines() if len(line.split()) == 2)
    return len(states) == len(NODES) and all(s.rstrip("*") in {"idle", "mix", "alloc"} for s in states.values())


def up(*, accounting: bool = False) -> None:
    """Brings it up.  accounting: with Debian's slurmdbd and MariaDB.  Raises RuntimeError where it does not come."""
    if lacking := missing():
        raise RuntimeError(lacking)
    down()
    _write_files(accounting=accounting)
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    _start_all()


def _start_all() -> None:
    for name in MACHINES:
        start(name)
    until = time.monotonic() + UP_SECONDS
    while not is_up():
        if time.monotonic() > until:
            raise RuntimeError(f"the cluster does not come up: see {FOLDER}/log")
        time.sleep(0.3)


def start(name: str) -> None:
    """Switches a machine on."""
    address = f"{NETWORK}.{MACHINES[name]}"
    inside = ["bash", str(HERE / "machine.sh"), str(FOLDER), name, address, str(CACHE), *mounted()]
    unshare = ["unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--kill-child", "--", *inside]
    process = subprocess.Popen(
        unshare,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    STARTED[name] = process
    (FOLDER / "machines" / f"{name}.pid").write_text(str(process.pid))
    first = _first(process.pid)
    _ip("link", "add", f"cc{NUMBER or ''}-{name}", "type", "veth", "peer", "name", "eth0", "netns", str(first))
    _ip("link", "set", f"cc{NUMBER or ''}-{name}", "master", BRIDGE, "up")


def switch_off(name: str) -> None:
    """As a power cut does: every process of the machine is killed at once."""
    pid = _pid(name)
    if pid is not None:
        os.kill(_first(pid), signal.SIGKILL)
        until = time.monotonic() + 10
        while _pid(name) is not None and time.monotonic() < until:
            time.sleep(0.05)
    if name in STARTED:
        STARTED.pop(name).wait(10)
    subprocess.run(["ip", "link", "del", f"cc{NUMBER or ''}-{name}"], check=False, capture_output=True)


@contextmanager
def paused(program: str, machine: str = "login") -> Iterator[None]:
    """A daemon that does not answer: `slurmctld`, or `sshd`."""
    pids = run(machine, "pgrep", "-x", program).split()
    run(machine, "kill", "-STOP", *pids)
    try:
        yield
    finally:
        run(machine, "kill", "-CONT", *pids)


@contextmanager
def small_disk(mib: int) -> Iterator[Path]:
    """A disk that all machines share, under one path there and here.  They are switched off and on for it."""
    disk = FOLDER / "small"
    disk.mkdir()
    for name in MACHINES:
        switch_off(name)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m,uid={USER_ID},gid={USER_ID}", "tmpfs", disk], check=True
    )
    try:
        _start_all()
        yield disk
    finally:
        for name in MACHINES:
            switch_off(name)
        subprocess.run(["umount", disk], check=True)
        _start_all()


def down() -> None:
    """Ends all machines and removes what they had.  What is not up is success."""
    for name in MACHINES:
        switch_off(name)
    subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)
    if (
        FOLDER.exists()
    ):  # a copy of SkyPilot's environment for each allocation: deleting them takes long, and nobody need wait
        left = FOLDER.rename(FOLDER.with_name(f"{FOLDER.name}.left-{time.time_ns()}"))
        subprocess.run(["setsid", "--fork", "nice", "-n", "19", "rm", "-rf", left], check=True)


def run(machine: str, *command: str, user: str = "root", check: bool = True, timeout: float = 60) -> str:
    """What a command prints that runs in a machine.  Raises CalledProcessError, and RuntimeError for a machine that is off."""
    pid = _pid(machine)
    if pid is None:
        raise RuntimeError(f"{machine} is off")
    enter = ["nsenter", "-t", str(_first(pid)), "--mount", "--uts", "--net", "--pid", "--"]
    as_user = [] if user == "root" else ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"]
    home = "/root" if user == "root" else f"/home/{user}"
    clean = ["env", "-i", f"HOME={home}", f"USER={user}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    done = subprocess.run(
        [*enter, *clean, *as_user, *command], check=check, capture_output=True, text=True, timeout=timeout, cwd="/"
    )
    return done.stdout


def write_client_files(home: Path, cluster: str = "mini") -> Path:
    """`.slurm/config` and a key in a home, as a user of the cluster has them; the file of the configuration."""
    folder = home / ".slurm"
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "id_ed25519"
    shutil.copyfile(FOLDER / "id_ed25519", key)
    key.chmod(0o600)
    config = folder / "config"
    config.write_text(
        f"Host {cluster}\n  HostName {LOGIN}\n  User {USER}\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
        f"  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    return config


def _write_files(*, accounting: bool) -> None:
    for folder in (
        "etc",
        "machines",
        "spool",
        "state",
        "log",
        "munge",
        "slurm",
        "dev",
        "srv",
        "root",
        f"home/{USER}/.ssh",
    ):
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
    slurm = FOLDER / "slurm"
    (slurm / "slurm.conf").write_text(ACCOUNTING_CONF if accounting else SLURM_CONF)
    if accounting:
        (slurm / "slurmdbd.conf").write_text(SLURMDBD_CONF)
        (slurm / "slurmdbd.conf").chmod(0o600)
    (slurm / "gres.conf").write_text(GRES_CONF)
    (slurm / "sshd_config").write_text(SSHD_CONFIG)
    (slurm / "task_prolog.sh").write_text(TASK_PROLOG)
    (slurm / "task_prolog.sh").chmod(0o755)
    (slurm / "munge.key").write_bytes(os.urandom(1024))
    (slurm / "munge.key").chmod(0o400)
    shutil.chown(slurm / "munge.key", "munge", "munge")
    shutil.chown(FOLDER / "munge", "munge", "munge")
    (FOLDER / "munge").chmod(0o755)
    for number in range(8):
        os.mknod(FOLDER / "dev" / f"fakegpu{number}", 0o666 | 0o020000, os.makedev(1, 3))
    etc = FOLDER / "etc"
    for file in ("passwd", "group", "shadow"):
        shutil.copyfile(f"/etc/{file}", etc / file)
    _add(etc / "passwd", f"{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:/bin/bash")
    _add(etc / "group", f"{USER}:x:{USER_ID}:")
    _add(etc / "shadow", f"{USER}:*:19000:0:99999:7:::")  # a key only; sshd refuses a locked account (`!`)
    hosts = "".join(f"{NETWORK}.{number} {name}\n" for name, number in MACHINES.items())
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
    for key in (slurm / "host_ed25519", FOLDER / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    ssh = FOLDER / "home" / USER / ".ssh"
    shutil.copyfile(FOLDER / "id_ed25519.pub", ssh / "authorized_keys")
    ssh.chmod(0o700)
    for file in (ssh.parent, ssh, ssh / "authorized_keys"):
        os.chown(file, USER_ID, USER_ID)
    for name in mounted():
        (FOLDER / "srv" / name).mkdir()
    shutil.copy(Path(sys.prefix) / "bin" / "uv", FOLDER / "srv" / "uv")


def _add(file: Path, line: str) -> None:
    file.write_text(file.read_text().rstrip("\n") + f"\n{line}\n")


def _pid(name: str) -> int | None:
    """The process that has made a machine; None while it is off."""
    try:
        pid = int((FOLDER / "machines" / f"{name}.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(FOLDER).encode() in command and Path(f"/proc/{pid}/task/{pid}/children").read_text() else None


def _first(pid: int) -> int:
    """Process 1 of the machine that a process has made, as this machine counts."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return int(children[0])
        time.sleep(0.02)
    raise RuntimeError("the virtual machine does not start")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextmanager
def locked_cluster(*, accounting: bool = False) -> Iterator[None]:
    """The cluster for one test module: brought up, unless one without accounting is wanted and up already, and taken down again."""
    with FileLock(f"{FOLDER}.lock", timeout=1800):
        by_hand = is_up() and not accounting
        if not by_hand:
            up(accounting=accounting)
        try:
            yield
        finally:
            if not by_hand:
                down()


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        sys.stdout.write(run(*sys.argv[2:]))
    else:
        {"up": up, "down": down}[sys.argv[1]]()
