"""Attacks on the sandbox, each contained, by every mechanism that works on this machine."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterctl.sandbox.isolation import BUBBLEWRAP, Isolation
from clusterctl.sandbox.verdict import Status, Verdict

Judge = Callable[..., Verdict]

TRY = """
def attempt(name, act):
    try:
        print(name, "done", act())
    except Exception as error:
        print(name, "refused", type(error).__name__)
"""


def out(verdict: Verdict) -> str:
    assert verdict.run is not None, verdict
    return verdict.run.stdout.decode(errors="replace")


def alive(mark: str) -> list[str]:
    """Processes of this machine whose command line holds `mark`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [process.name] if mark.encode() in (process / "cmdline").read_bytes() else []
        except OSError:
            continue
    return found


# --- processes


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "while True: pass",
        "import signal as s, os\ns.pthread_sigmask(s.SIG_BLOCK, range(1, 65)); os.kill(os.getpid(), s.SIGSTOP)",
    ],
    ids=["sleep", "busy", "stopped"],
)
def test_time_is_limited(judge: Judge, code: str) -> None:
    began = time.monotonic()
    verdict = judge(code, seconds=0.5)
    assert verdict.status is Status.TIME_LIMIT
    assert verdict.run is not None
    assert verdict.run.exit_code is None
    assert time.monotonic() - began < 40


def test_the_time_of_starting_is_not_charged(judge: Judge) -> None:
    verdict = judge("pass")
    assert verdict.run is not None
    assert verdict.run.start_seconds > 0
    assert verdict.run.wall_seconds < 5


def test_a_fork_bomb_ends_with_its_sandbox(judge: Judge) -> None:
    code = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    assert judge(code, seconds=1.0, max_processes=32).status is Status.TIME_LIMIT
    assert out(judge("print('still here')")) == "still here\n"


def test_processes_are_counted_for_each_sandbox_alone(judge: Judge) -> None:
    code = "import os, time\npids = []\ntry:\n    while True:\n        pid = os.fork()\n        if pid == 0:\n            time.sleep(60)\n        pids.append(pid)\nexcept OSError:\n    print(len(pids))"
    for _ in range(2):
        assert 20 <= int(out(judge(code, max_processes=32))) < 32


def test_daemons_are_not_left_behind(judge: Judge) -> None:
    mark = f"daemon-{os.getpid()}-{time.monotonic_ns()}"
    code = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        [os.close(fd) for fd in range(3)]\n"
        f"        os.execvp('sleep', ['{mark}', '300'])\n    os._exit(0)\ntime.sleep(0.2)\nprint('gone')"
    )
    assert out(judge(code)) == "gone\n"
    assert alive(mark) == []


def test_nothing_outside_can_be_signalled(judge: Judge) -> None:
    code = (
        "import os, signal\n"
        f"for pid in (1, os.getppid(), {os.getpid()}, {os.getppid()}, -1):\n"
        "    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP):\n"
        "        try:\n            os.kill(pid, number)\n        except OSError:\n            pass\n"
        "print('tried')"
    )
    assert out(judge(code)) == "tried\n"


def test_who_kills_its_process_group_has_failed_and_the_sandbox_has_not(judge: Judge) -> None:
    verdict = judge("import os\nos.kill(0, 9)")
    assert verdict.run is not None
    assert (verdict.status, verdict.run.exit_code) == (Status.FINISHED, 128 + 9), verdict


def test_signals_kill_programs_as_usual(judge: Judge) -> None:
    codes = []
    for name in ("SIGABRT", "SIGKILL", "SIGPIPE"):
        program = (
            f"import os, signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\nos.kill(os.getpid(), signal.{name})"
        )
        verdict = judge(program)
        assert verdict.run is not None
        codes.append(verdict.run.exit_code)
    assert codes == [128 + 6, 128 + 9, 128 + 13]


# --- memory, disk, output


def test_memory_is_limited(judge: Judge) -> None:
    greedy = "x = bytearray(4 << 30)"
    growing = "x = []\nwhile True:\n    x.append(bytearray(1 << 20))"
    for code in (greedy, growing):
        assert judge(code, memory_mib=96).status is Status.MEMORY_LIMIT


def test_memory_is_limited_for_all_processes_together(judge: Judge) -> None:
    code = "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        x = bytearray(os.urandom(1 << 20)) * 60\n        break\ntime.sleep(30)"
    began = time.monotonic()
    verdict = judge(code, seconds=20, memory_mib=200)
    assert verdict.status is Status.MEMORY_LIMIT
    assert time.monotonic() - began < 40
    assert verdict.run is not None
    assert verdict.run.peak_memory_mib is not None
    assert verdict.run.peak_memory_mib >= 200


def test_forked_processes_do_not_count_shared_memory_twice(judge: Judge) -> None:
    code = "import os, time\nx = bytearray(os.urandom(1 << 20)) * 40\nfor _ in range(10):\n    if os.fork() == 0:\n        break\ntime.sleep(0.5)"
    assert judge(code, memory_mib=256).status is Status.FINISHED


def test_shared_memory_is_counted(judge: Judge) -> None:
    code = "import mmap, time\nx = [mmap.mmap(-1, 1 << 20) for _ in range(400)]\nfor one in x:\n    one.write(b'x' * (1 << 20))\ntime.sleep(30)"
    assert judge(code, seconds=20, memory_mib=128).status is Status.MEMORY_LIMIT


SOCKETS = """
import os, socket, time
def pair():
    if %(tcp)s:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return socket.create_connection(server.getsockname()), server.accept()[0]
    return socket.socketpair()
for _ in range(40):
    if os.fork() == 0:
        kept = [end for _ in range(50) for end in pair()]
        for end in kept:
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, %(size)s)
            try:
                while True:
                    end.send(bytes(32768))
            except BlockingIOError:
                pass
        time.sleep(60)
time.sleep(60)
"""


@pytest.mark.parametrize(("tcp", "size"), [(False, 4096), (False, 4 << 20), (True, 4 << 20)])
def test_buffers_of_the_kernel_count_as_memory(judge: Judge, isolation: Isolation, tcp: bool, size: int) -> None:
    if isolation is not BUBBLEWRAP and (tcp or size > 4096):
        return  # unshare leaves its loopback down, and its buffers grow: it says that memory is left uncounted
    assert judge(SOCKETS % {"tcp": tcp, "size": size}, seconds=30, memory_mib=400).status is Status.MEMORY_LIMIT


def test_page_tables_count_as_memory(judge: Judge) -> None:
    code = """
#include <sys/mman.h>
int main() {
    long size = 1L << 40, sum = 0;  // reading maps one page of zeros, through a table for every 2 MiB
    char *start = (char *)mmap(0, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (;;) for (long at = 0; at < size; at += 2 << 20) sum += ((volatile char *)start)[at];
}"""
    assert judge(code, language="cpp", seconds=20, memory_mib=256).status is Status.MEMORY_LIMIT


@pytest.mark.parametrize("file", ["big", "/tmp/big", "/dev/shm/big"])
def test_the_disk_is_limited(judge: Judge, file: str) -> None:
    code = f"f = open({file!r}, 'wb')\nfor _ in range(200):\n    f.write(b'x' * (1 << 20))\nprint('wrote it all')"
    verdict = judge(code, disk_mib=16)
    assert "wrote it all" not in out(verdict)
    assert verdict.run is not None
    assert not verdict.run.ok


def test_empty_files_count_as_memory(judge: Judge) -> None:
    code = "import itertools\nfor i in itertools.count():\n    open(str(i), 'w').close()"
    assert judge(code, seconds=20, memory_mib=64).status is Status.MEMORY_LIMIT


@pytest.mark.parametrize("descriptor", [1, 2])
def test_endless_output_is_cut(judge: Judge, descriptor: int) -> None:
    verdict = judge(f"import os\nwhile True:\n    os.write({descriptor}, bytes(65536))", output_mib=1)
    assert verdict.status is Status.OUTPUT_LIMIT
    assert verdict.run is not None
    assert (
        len((verdict.run.stdout, verdict.run.stderr)[descriptor - 1].rstrip(b"\n").partition(b"unshare")[0]) <= 1 << 20
    )


def test_both_outputs_at_once_are_no_deadlock(judge: Judge) -> None:
    code = "import sys\nfor _ in range(300):\n    sys.stdout.write('o' * 1000)\n    sys.stderr.write('e' * 1000)"
    verdict = judge(code)
    assert verdict.run is not None
    assert (len(verdict.run.stdout), len(verdict.run.stderr)) == (300_000, 300_000)


@pytest.mark.parametrize(
    "code",
    ["#include __FILE__\n#include __FILE__\n", '#include "/dev/zero"\n', "char x[900 << 20] = {1}; int main() {}"],
    ids=["endless errors", "endless source", "huge program"],
)
def test_compilers_are_limited_too(judge: Judge, code: str) -> None:
    verdict = judge(code, language="cpp", output_mib=1, memory_mib=256, disk_mib=64)
    assert verdict.status in (Status.OUTPUT_LIMIT, Status.MEMORY_LIMIT, Status.COMPILE_FAILED)
    assert verdict.run is None


def test_what_is_fetched_is_limited(judge: Judge) -> None:
    code = "import os\nos.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 10 << 20)\nopen('a', 'w').write('small')\nos.symlink('/etc/passwd', 'link')\nos.mkfifo('pipe')"
    verdict = judge(code, fetch=("sparse", "a", "link", "pipe", "absent"), disk_mib=32)
    assert verdict.run is not None
    assert dict(verdict.run.files) == {"a": b"small", "sparse": bytes(10 << 20)}
    assert judge(code, fetch=("sparse",), disk_mib=4).status is not Status.SANDBOX_ERROR
    assert judge(code, fetch=("sparse",), fetch_mib=4).status is Status.OUTPUT_LIMIT


def test_a_compiled_program_is_limited(judge: Judge) -> None:
    code = "char filler[6 << 20] = {1};\nint main() { return filler[0] - 1; }"
    assert judge(code, language="cpp").status is Status.FINISHED
    verdict = judge(code, language="cpp", fetch_mib=4)
    assert (verdict.status, verdict.run) == (Status.OUTPUT_LIMIT, None)


# --- the host


def test_the_hosts_files_are_not_there(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pl4nted", encoding="utf-8")
    hidden = [
        str(tmp_path / "secret"),
        "/etc/shadow",
        "/root/.ssh",
        "/home",
        "/var",
        "/run",
        "/sys",
        "/proc/kcore",
        str(Path.cwd()),
    ]
    code = f"import os\nprint([path for path in {hidden!r} if os.path.exists(path) and (os.path.isfile(path) or os.listdir(path))])"
    assert out(judge(code)) == "[]\n"


def test_links_and_proc_lead_nowhere(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pl4nted", encoding="utf-8")
    code = (
        TRY
        + f"""
import os
for path in ('/proc/1/root', '/proc/1/cwd', '/proc/self/root/..', '/proc/1/root/proc/1/root'):
    attempt(path, lambda: open(path + {str(tmp_path / "secret")!r}).read())
os.symlink({str(tmp_path)!r}, 'link')
attempt('link', lambda: open('link/secret').read())
attempt('up', lambda: open('../' * 20 + {str(tmp_path / "secret")!r}).read())
print(sorted(pid for pid in os.listdir('/proc') if pid.isdigit()))
"""
    )
    shown = out(judge(code))
    assert "pl4nted" not in shown
    assert shown.count("refused") == 6
    assert len(shown.splitlines()[-1].split(",")) <= 4, "only its own processes"


def test_the_hosts_environment_and_descriptors_are_not_there(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "pl4nted")
    (tmp_path / "secret").write_text("pl4nted", encoding="utf-8")
    with (tmp_path / "secret").open(encoding="utf-8") as file:
        os.set_inheritable(file.fileno(), True)
        code = (
            TRY
            + """
import os
print(dict(os.environ))
for pid in ('1', 'self'):
    print(open(f'/proc/{pid}/environ').read())
    for fd in os.listdir(f'/proc/{pid}/fd'):
        attempt(fd, lambda: os.readlink(f'/proc/{pid}/fd/{fd}'))
"""
        )
        shown = out(judge(code))
    assert "pl4nted" not in shown
    assert "secret" not in shown


def test_the_system_cannot_be_written(judge: Judge) -> None:
    code = (
        TRY
        + """
for path in ('/x', '/usr/x', '/bin/x', '/etc/x', '/dev/x', '/etc/passwd', '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/1/oom_score_adj'):
    attempt(path, lambda: open(path, 'w').write('-999'))
"""
    )
    shown = out(judge(code)).replace("/proc/1/oom_score_adj done 4\n", "")  # its own sandbox's, and not below 0
    assert "done" not in shown


def test_there_is_no_network(judge: Judge, tmp_path: Path) -> None:
    name = f"clusterctl-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + name)
        abstract.listen()
        reached: list[object] = []
        threading.Thread(target=lambda: reached.append(tcp.accept()), daemon=True).start()
        code = (
            TRY
            + f"""
import socket
attempt('tcp', lambda: socket.create_connection(('127.0.0.1', {tcp.getsockname()[1]}), 1))
attempt('outside', lambda: socket.create_connection(('192.0.2.1', 80), 1))
attempt('names', lambda: socket.getaddrinfo('example.org', 80))
attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect('\\0{name}'))
attempt('packets', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
"""
        )
        shown = out(judge(code))
    assert shown.count("refused") == 5, shown
    assert reached == []


def test_its_own_loopback_works(judge: Judge) -> None:
    code = "import socket\ns = socket.create_server(('127.0.0.1', 0))\nc = socket.create_connection(s.getsockname())\nprint('in')"
    verdict = judge(code)
    assert out(verdict) in ("in\n", ""), verdict  # unshare leaves the interface down
    code = "import socket\nfor _ in range(100):\n    a, b = socket.socketpair()\n    a.send(b'x' * 1000)\n    a.close()\n    b.close()\nprint('in')"
    assert out(judge(code, memory_mib=64)) == "in\n"


def test_nobody_can_type_into_a_terminal(judge: Judge) -> None:
    code = (
        TRY
        + """
import fcntl, os
attempt('tiocsti', lambda: fcntl.ioctl(0, 0x5412, b'x'))
attempt('tty', lambda: os.open('/dev/tty', os.O_RDWR))
attempt('tty0', lambda: os.open('/dev/tty0', os.O_RDWR))
"""
    )
    assert out(judge(code)).count("refused") == 3


def test_no_new_privileges(judge: Judge) -> None:
    code = "cat /proc/self/status"
    status = dict(line.split(":\t") for line in out(judge(code, language="bash")).splitlines() if ":\t" in line)
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == int(status["CapInh"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_system_calls_that_reach_further_are_refused(judge: Judge, isolation: Isolation) -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for name, *arguments in (("unshare", 0x10000000), ("unshare", 0x20000), ("setns", 0, 0), ("mount", b"x", b"/tmp", b"tmpfs", 0, None), ("umount2", b"/tmp", 2), ("chroot", b"/tmp"), ("pivot_root", b"/tmp", b"/tmp"), ("sethostname", b"x", 1), ("keyctl", 0, -4, 1), ("bpf", 0, 0, 0), ("ptrace", 0, 0, 0, 0)):
    call = getattr(libc, name, None)
    print(name, "refused" if call is None or call(*arguments) < 0 else "done")
"""
    shown = out(judge(code)).splitlines()
    assert len(shown) == 11
    filtered = (
        shown if isolation is BUBBLEWRAP else [line for line in shown if line.split()[0] not in ("keyctl", "ptrace")]
    )
    assert [line for line in filtered if not line.endswith("refused")] == []
