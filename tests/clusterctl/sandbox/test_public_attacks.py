"""Published flaws of sandboxes, judges and kernels, by number: their way in is closed here (table in docs/sandbox.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clusterctl.sandbox.isolation import BUBBLEWRAP, Isolation
from clusterctl.sandbox.verdict import Status, Verdict

Judge = Callable[..., Verdict]

PRELUDE = """
import ctypes, glob, os, platform, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
def attempt(act):
    try:
        print("done" if act() else "refused")
    except (OSError, AttributeError):
        print("refused")
def call(x86_number, number, *arguments):
    return libc.syscall(x86_number if x86 else number, *arguments) >= 0
"""
ESCAPES = {
    "CVE-2019-5736 runc": """
for path in ("/proc/self/exe", "/proc/1/exe", "/usr/bin/python3", "/bin/sh"):
    attempt(lambda: os.open(path, os.O_WRONLY))
""",
    "CVE-2024-21626 runc": """
for number in range(3, 64):
    attempt(lambda: os.listdir(f"/proc/self/fd/{number}") != os.listdir("/"))
attempt(lambda: os.path.exists("/proc/self/cwd/../../../../../root/.profile"))
""",
    "CVE-2016-9962 runc, CVE-2016-8659 bubblewrap": """
attempt(lambda: os.open("/proc/1/mem", os.O_RDWR))
for number in range(10):
    attempt(lambda: os.open(f"/proc/1/fd/{number}", os.O_RDWR))
""",
    "CVE-2022-0492 release_agent of cgroups": """
os.mkdir("cgroup")
attempt(lambda: libc.mount(b"cgroup", b"cgroup", b"cgroup", 0, b"memory") == 0)
attempt(lambda: libc.mount(b"cgroup2", b"cgroup", b"cgroup2", 0, None) == 0)
attempt(lambda: glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True))
""",
    "CVE-2024-29021 Judge0": """
for address in (("169.254.169.254", 80), ("127.0.0.1", 5432), ("10.0.0.1", 22)):
    attempt(lambda: socket.create_connection(address, 1))
""",
    "CVE-2021-4034, CVE-2021-3156, CVE-2023-4911 set-user-ID programs": """
attempt(lambda: not os.statvfs("/usr").f_flag & os.ST_NOSUID)
attempt(lambda: os.setuid(0) is None and open("/etc/shadow"))
attempt(lambda: "NoNewPrivs:\\t1" not in open("/proc/self/status").read())
""",
}
KERNEL = {
    "CVE-2017-5226 bubblewrap, CVE-2019-10063 flatpak, CVE-2023-1523 snap": """
for request in (0x5412, 0x5412 | 1 << 32, 0x541C, 0x541C | 1 << 32):
    attempt(lambda: call(16, 29, 0, ctypes.c_ulong(request), b"x") or ctypes.get_errno() == 25)
""",
    "CVE-2022-0185, CVE-2023-0386, CVE-2023-32233, CVE-2024-1086 through user namespaces": """
attempt(lambda: libc.unshare(0x10000000) == 0)
attempt(lambda: libc.unshare(0x10020000) == 0)
attempt(lambda: call(56, 220, 0x10000011, None, None, None, None))
attempt(lambda: call(430, 430, b"ext4", 0))
attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12))
""",
    "CVE-2022-29582, CVE-2023-2598, CVE-2024-0582 io_uring": """
attempt(lambda: call(425, 425, 8, ctypes.create_string_buffer(256)))
""",
    "CVE-2017-16995, CVE-2021-3490, CVE-2023-2163 bpf": """
attempt(lambda: call(321, 280, 0, ctypes.create_string_buffer(128), 72))
""",
    "CVE-2016-0728, CVE-2022-0995 keyrings and watch queues": """
attempt(lambda: call(250, 219, 1, b"session"))
attempt(lambda: call(248, 217, b"user", b"name", b"x", 1, -2))
""",
    "CVE-2017-7308, CVE-2020-14386, CVE-2021-22600, CVE-2021-26708, CVE-2019-8912 socket families": """
for family in (17, 40, 38, 44, 21):
    attempt(lambda: socket.socket(family, socket.SOCK_DGRAM))
""",
    "CVE-2017-6074, CVE-2021-23133 DCCP and SCTP": """
attempt(lambda: socket.socket(socket.AF_INET, 6, 33))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 132))
""",
    "CVE-2023-0461 TLS in the kernel": """
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
attempt(lambda: client.setsockopt(6, 31, b"tls") is None)
""",
    "CVE-2019-13272 ptrace, and userfaultfd, by which others win their races": """
attempt(lambda: call(101, 117, 0, 0, 0, 0))
attempt(lambda: call(323, 282, 1))
""",
}


@pytest.mark.parametrize("code", ESCAPES.values(), ids=ESCAPES)
def test_ways_out_of_a_sandbox(judge: Judge, code: str) -> None:
    _all_are_refused(judge(PRELUDE + code))


@pytest.mark.parametrize("code", KERNEL.values(), ids=KERNEL)
def test_ways_into_the_kernel(judge: Judge, isolation: Isolation, code: str) -> None:
    if isolation is BUBBLEWRAP:  # the other one has no filter, and says so
        _all_are_refused(judge(PRELUDE + code))


def _all_are_refused(verdict: Verdict) -> None:
    assert verdict.run is not None
    assert verdict.run.stderr == b""
    answers = verdict.run.stdout.decode().split()
    assert answers
    assert set(answers) == {"refused"}


@pytest.mark.parametrize(
    "link",
    ["os.symlink('/etc/passwd', 'out')", "os.symlink('/', 'out')", "os.mkfifo('out')", "os.link('main.py', 'out')"],
    ids=["file", "folder", "pipe", "hard link"],
)
def test_cve_2024_28185_and_28189_judge0_follows_links_of_programs(judge: Judge, link: str) -> None:
    verdict = judge(f"import os\n{link}", fetch=("out",))
    assert verdict.status is Status.FINISHED
    assert verdict.run is not None
    files = dict(verdict.run.files)
    assert files in ({}, {"out": f"import os\n{link}".encode()}), "nothing but its own"


def test_cve_2019_14271_docker_cp_loads_what_a_container_put_there(judge: Judge, tmp_path: Path) -> None:
    code = """
import os
for name in ("tar", "setpriv", "libacl.so.1", "libc.so.6", ".tarrc"):
    with open(name, "w") as file:
        file.write("#!/bin/sh\\necho forged")
    os.chmod(name, 0o755)
os.environ["PATH"] = "/tmp"
open("out", "w").write("right")
"""
    verdict = judge(code, fetch=("out",))
    assert verdict.run is not None
    assert dict(verdict.run.files) == {"out": b"right"}
    assert list(tmp_path.iterdir()) == []
