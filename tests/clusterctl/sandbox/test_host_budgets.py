"""What one program could take from the host or from other programs, with and without cgroups."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clusterctl.sandbox import process, running_sandbox
from clusterctl.sandbox.cgroup_parent import find_parent, parent, why_no_cgroup
from clusterctl.sandbox.cgroups import VERSION_1, VERSION_2
from clusterctl.sandbox.isolation import BUBBLEWRAP, UNPROTECTED, Isolation
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.user_namespaces import gives_own_users, has_outer_ids, lent_namespace, subordinate_id
from clusterctl.sandbox.verdict import Policy, ProgramRequest, Status, Verdict

Judge = Callable[..., Verdict]
own_users = pytest.mark.skipif(not gives_own_users(), reason="no users of their own: not root, nothing in /etc/subuid")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's sandboxes have owners of their own")


def out(verdict: Verdict) -> str:
    assert verdict.run is not None, verdict
    return verdict.run.stdout.decode(errors="replace")


@pytest.fixture(params=["cgroup", "no cgroup"])
def _with_and_without_cgroups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no cgroup":
        monkeypatch.setattr(process, "parent", lambda: None)
    elif why_no_cgroup() is not None:
        pytest.skip(f"no cgroup: {why_no_cgroup()}")


def plain_user(isolation: Isolation, *codes: str) -> list[str]:
    """What Python programs print whose sandboxes are started by a user who isn't root."""
    script = f"""
import csv, encodings.idna, json, logging, os, resource, tarfile
from clusterctl.sandbox import isolation
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.verdict import ProgramRequest
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(5432); os.setuid(5432)
for code in {codes!r}:
    verdict = run_program(ProgramRequest(language="python", code=code), None, isolation.{isolation.name.upper()})
    print(json.dumps(verdict.run.stdout.decode() if verdict.run else verdict.message))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- the first process of the sandbox

FIRST_PROCESS = """
import os
def attempt(path, act):
    try:
        print(path, "reached", act(path))
    except OSError as error:
        print(path, "refused")
for number in range(32):
    attempt(f"/proc/1/fd/{number}", lambda path: os.open(path, os.O_WRONLY))
for name in ("root", "cwd", "exe"):
    attempt(f"/proc/1/{name}", os.readlink)
for name in ("environ", "maps", "auxv", "mem"):
    attempt(f"/proc/1/{name}", lambda path: open(path, "rb").read(8))
attempt("/proc/1/mem", lambda path: os.open(path, os.O_RDWR))
"""
OWN_DESCRIPTORS = """
import os
print([os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")[:-1]])
print(open("/proc/self/mountinfo").read())
"""


def test_the_first_process_is_out_of_reach(judge: Judge, isolation: Isolation) -> None:
    for shown in (out(judge(FIRST_PROCESS)), *plain_user(isolation, FIRST_PROCESS)):
        assert shown.count("refused") == 40
        assert "reached" not in shown


def test_a_daemon_cannot_write_into_what_is_fetched(judge: Judge) -> None:
    code = """
import os
open("asked", "w").write("right")
for _ in range(20):
    if os.fork() == 0:
        while True:
            for process in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if os.readlink(f"/proc/{process}/exe").endswith("tar"):
                        os.write(os.open(f"/proc/{process}/fd/1", os.O_WRONLY), b"x" * 512)
                except OSError:
                    pass
os._exit(0)
"""
    verdict = judge(code, fetch=("asked",))
    assert verdict.run is not None
    assert dict(verdict.run.files) == {"asked": b"right"}


def test_no_namespace_or_path_of_the_host_is_handed_over(judge: Judge, isolation: Isolation) -> None:
    package = str(Path(process.__file__).parent)
    for shown in (out(judge(OWN_DESCRIPTORS)), *plain_user(isolation, OWN_DESCRIPTORS)):
        assert "user:[" not in shown
        assert package not in shown


# --- core dumps

CORE_LIMIT = """
import resource
for limits in ((0, 0), (resource.RLIM_INFINITY, resource.RLIM_INFINITY), None):
    if limits:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, limits)
        except ValueError:
            pass
    print(resource.getrlimit(resource.RLIMIT_CORE)[0], end=" ")
resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))
print(resource.getrlimit(resource.RLIMIT_STACK)[0])
"""


def test_no_core_dump_goes_to_a_handler_of_the_host(judge: Judge, isolation: Isolation) -> None:
    for shown in (out(judge(CORE_LIMIT)), *plain_user(isolation, CORE_LIMIT)):
        limits = shown.split()
        assert limits[0] == "1" or isolation is not BUBBLEWRAP, "1 byte: the only limit that handlers mind"
        assert limits[:3] == ["1"] * 3 or isolation is not BUBBLEWRAP, "no filter: it may change the limit"
        assert limits[3] == str(1 << 20), "other limits are the program's"


# --- the clock


def test_the_clock_does_not_wait_for_the_sampler(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "parent", lambda: None)
    monkeypatch.setattr(running_sandbox, "memory_bytes", lambda *_: time.sleep(8) or 0)
    verdict = judge("import time; time.sleep(60)", seconds=0.3)
    assert verdict.status is Status.TIME_LIMIT
    assert verdict.run is not None
    assert verdict.run.wall_seconds < 5


# --- budgets of the host


@as_root
def test_each_sandbox_is_another_user_outside() -> None:
    if not has_outer_ids():
        pytest.skip("this container has no other users")
    owners = []
    with lent_namespace() as one, lent_namespace() as other:
        for namespace in (one, other):
            owner = bytearray(4)
            fcntl.ioctl(namespace, 0xB704, owner)  # NS_GET_OWNER_UID: whom the kernel charges
            owners.append(int.from_bytes(owner, sys.byteorder))
    assert len({0, 65534, *owners}) == 4


@own_users
def test_two_sandboxes_at_once_are_different_users_outside(judge: Judge, isolation: Isolation) -> None:
    if isolation is not BUBBLEWRAP or not has_outer_ids():
        pytest.skip("no users of their own")
    code = "import time; time.sleep(0.5); print(*[line.split()[1] for line in open('/proc/self/uid_map')])"
    with ThreadPoolExecutor(2) as pool:
        users = {out(verdict).split()[1] for verdict in pool.map(judge, [code] * 2)}
    assert len({"0", str(os.getuid()), *users}) == 2 + len({"0", str(os.getuid())})


def test_ids_that_are_lent_are_used_in_turn(tmp_path: Path) -> None:
    table = tmp_path / "subuid"
    name = pwd.getpwuid(os.getuid()).pw_name
    table.write_text(f"somebody-else:5:9\n\n{name}:100000:2\n", encoding="utf-8")
    assert {subordinate_id(table) for _ in range(3)} == {100000, 100001}
    for content in ("", "somebody-else:5:9\n", "no table"):
        table.write_text(content, encoding="utf-8")
        with pytest.raises(OSError, match="lends this user nothing"):
            subordinate_id(table)


IN_FLIGHT = """
import array, os, socket, time
null = os.open("/dev/null", os.O_RDONLY)
kept = [socket.socketpair() for _ in range(%d)]
try:
    for one, _ in kept:
        one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 250))])
    print("sent", flush=True)
except OSError as error:
    print(error.strerror, flush=True)
time.sleep(%f)
"""


@own_users
def test_descriptors_under_way_are_counted_for_each_sandbox_alone(judge: Judge, isolation: Isolation) -> None:
    if not has_outer_ids() or (isolation is not BUBBLEWRAP and os.geteuid() != 0):
        pytest.skip("this container has no other users")
    greedy = threading.Thread(target=lambda: judge(IN_FLIGHT % (30, 1.5)))
    greedy.start()
    time.sleep(0.7)
    assert out(judge(IN_FLIGHT % (1, 0))) == "sent\n"
    greedy.join()


def test_calls_that_take_from_the_whole_machine_are_refused(judge: Judge, isolation: Isolation) -> None:
    code = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
here, there = os.pipe()
folder = os.open("/usr/bin", os.O_RDONLY)
for name, *arguments in (
    ("inotify_init",), ("inotify_init1", 0), ("vmsplice", there, None, 0, 0), ("fanotify_init", 0, 0),
    ("fcntl", there, 1031, 1 << 20), ("fcntl", folder, 1026, 1), ("fcntl", folder, 1024, 0),
    ("mmap", None, 2 << 20, 3, 0x40022, -1, 0), ("syscall", 206 if os.uname().machine == "x86_64" else 0, 1, None),
):
    ctypes.set_errno(0)
    print(name, getattr(libc, name)(*arguments) < 0 and errno.errorcode[ctypes.get_errno()])
try:
    os.openpty()
    print("a terminal")
except OSError:
    print("no terminal")
"""
    if isolation is not BUBBLEWRAP:
        return  # no filter
    errors = [line.split()[1] for line in out(judge(code)).splitlines()]
    assert errors == ["ENOSYS"] * 2 + ["EPERM"] * 5 + ["ENOMEM", "ENOSYS", "terminal"]


# --- the kernel's own memory

MAPPINGS = """
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
for _ in range(12):
    if os.fork() == 0:
        for number in range(50000):
            libc.mmap(None, 4096, number % 2, 0x22, -1, 0)
        break
time.sleep(60)
"""
LOCKS = """
import fcntl, os, time
held = []
for number in range(8):
    if os.fork() == 0:
        for file in range(10):
            held.append(os.open(f"{number} {file}", os.O_CREAT | os.O_RDWR))
            for at in range(500):
                fcntl.lockf(held[-1], fcntl.LOCK_EX, 1, 2 * at)
        break
time.sleep(60)
"""
SHARED = """
import mmap, os, time
if os.fork() == 0:
    shared = mmap.mmap(-1, 1 << 29)
    while True:
        shared.write(bytes(1 << 20))
time.sleep(60)
"""


@pytest.mark.usefixtures("_with_and_without_cgroups")
@pytest.mark.parametrize("code", [MAPPINGS, LOCKS, SHARED], ids=["mappings", "locks of files", "shared memory"])
def test_memory_that_is_not_a_processs_own_counts(code: str) -> None:
    request = ProgramRequest(language="python", code=code, run_seconds=20)
    assert run_program(request, Policy(memory_mib=64)).status is Status.MEMORY_LIMIT


def test_a_cgroup_is_made_below_ours_and_goes(judge: Judge) -> None:
    if why_no_cgroup() is not None:
        pytest.skip(f"no cgroup: {why_no_cgroup()}")
    shown = out(judge("print(open('/proc/self/cgroup').read())"))
    name = next(word for word in shown.split("/") if word.startswith("clusterctl-sandbox-of-")).split()[0]
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{name}"))


def test_a_cgroup_limits_processes_also_where_no_other_limit_does() -> None:
    found = parent()
    if found is None or (found.version is VERSION_1 and len(found.folders) < 2):
        pytest.skip(f"no cgroup of processes: {why_no_cgroup()}")
    code = """
import os, time
for count in range(100):
    try:
        if os.fork() == 0:
            time.sleep(60)
    except OSError:
        break
print(count)
"""
    request = ProgramRequest(language="python", code=code)
    assert 20 <= int(out(run_program(request, Policy(max_processes=20), UNPROTECTED))) <= 30, "root has no RLIMIT_NPROC"


def test_without_any_isolation_a_cgroup_still_ends_daemons() -> None:
    if why_no_cgroup() is not None:
        pytest.skip(f"no cgroup: {why_no_cgroup()}")
    code = "setsid sleep 300 > /dev/null 2>&1 & echo $!"
    verdict = run_program(ProgramRequest(language="bash", code=code), Policy(), UNPROTECTED)
    daemon = Path("/proc", out(verdict).strip(), "cmdline")
    assert not daemon.exists() or daemon.read_bytes() == b"", "dead, if nobody has waited for it"


# --- where cgroups are found


def hierarchy(root: Path, **files: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in {"cgroup_controllers": "cpu memory pids", "cgroup_procs": "1", **files}.items():
        (root / name.replace("_", ".", 1)).write_text(content, encoding="ascii")
    return root


def mount(folder: Path, kind: str = "cgroup2", top: str = "/", options: str = "rw") -> str:
    return f"30 23 0:26 {top} {folder} rw,nosuid shared:4 - {kind} {kind} {options}\n"


def test_version_2_below_ours_where_it_is_delegated(tmp_path: Path) -> None:
    own = hierarchy(tmp_path / "delegated", cgroup_subtree_control="memory pids", memory_max="max")
    found = find_parent(mount(tmp_path), "0::/delegated\n")
    assert (found.folders, found.version, found.home) == ((str(own),), VERSION_2, str(own))


def test_version_2_above_ours_unless_that_lets_a_limit_go(tmp_path: Path) -> None:
    above = hierarchy(tmp_path / "slice", cgroup_subtree_control="memory pids", memory_max="max")
    own = hierarchy(above / "scope", memory_max="max")
    assert find_parent(mount(tmp_path), "0::/slice/scope\n").folders == (str(above),)
    hierarchy(own, memory_max="1073741824")
    with pytest.raises(Exception, match="other processes"):
        find_parent(mount(tmp_path), "0::/slice/scope\n")


def test_version_2_alone_in_ours_we_move_into_a_leaf(tmp_path: Path) -> None:
    own = hierarchy(tmp_path / "own", cgroup_procs=f"{os.getpid()}", memory_max="max")
    hierarchy(own / "clusterctl-server")
    (own / "cgroup.subtree_control").mkdir()  # can't be written, as while we are in it
    with pytest.raises(Exception, match="other processes"):
        find_parent(mount(tmp_path), "0::/own\n")
    assert (own / "clusterctl-server" / "cgroup.procs").read_text(encoding="ascii") == str(os.getpid())


def test_version_1_in_a_container_that_sees_its_own_part(tmp_path: Path) -> None:
    mounts = mount(tmp_path / "unified") + mount(tmp_path / "memory", "cgroup", "/docker/abc", "rw,memory")
    found = find_parent(mounts, "4:memory:/docker/abc/x\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    assert (found.folders, found.version) == ((str(tmp_path / "memory" / "x"),), VERSION_1)


def test_version_1_limits_processes_where_those_are_ours_too(tmp_path: Path) -> None:
    memory, pids = tmp_path / "memory", tmp_path / "pids"
    mounts = mount(memory, "cgroup", options="rw,memory") + mount(pids, "cgroup", options="rw,pids")
    ours = "4:memory:/a\n3:pids:/b\n0::/\n"
    assert find_parent(mounts, ours).folders == (str(memory / "a"),), "there is none of processes"
    (pids / "b").mkdir(parents=True)
    assert find_parent(mounts, ours).folders == (str(memory / "a"), str(pids / "b"))
    (memory / "a").mkdir(parents=True)
    together = mount(memory, "cgroup", options="rw,memory,pids")
    assert find_parent(together, "4:memory,pids:/a\n").folders == (str(memory / "a"),)


def test_without_controllers_there_is_none(tmp_path: Path) -> None:
    hierarchy(tmp_path, cgroup_controllers="cpu")
    for mounts in (mount(tmp_path), ""):
        with pytest.raises(Exception, match=r"limit memory|no cgroups"):
            find_parent(mounts, "0::/\n")
