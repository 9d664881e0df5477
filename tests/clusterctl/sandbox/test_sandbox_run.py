"""Programs, verdicts, files, and the choice of a mechanism."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.sandbox import commands, isolation, orphaned_sandboxes, program, running_sandbox
from clusterctl.sandbox.isolation import UNPROTECTED, Isolation, find_isolation
from clusterctl.sandbox.languages import LANGUAGES, languages, toolchain
from clusterctl.sandbox.process import _unpack
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.verdict import Policy, ProgramRequest, Status, Verdict

Judge = Callable[..., Verdict]


def test_a_program_reads_its_input_and_writes_its_output(judge: Judge) -> None:
    verdict = judge("import sys; print(sys.stdin.read()[::-1]); print('x', file=sys.stderr); sys.exit(3)", stdin=b"abc")
    assert verdict.run is not None
    assert (verdict.status, verdict.run.exit_code) == (Status.FINISHED, 3)
    assert (verdict.run.stdout, verdict.run.stderr) == (b"cba\n", b"x\n")


def test_programs_open_their_standard_files_by_name(judge: Judge) -> None:
    code = "cat /dev/stdin > /dev/stdout; echo x > /dev/stderr; echo y > out"
    verdict = judge(code, language="bash", stdin=b"abc", fetch=("out",))
    assert verdict.run is not None
    assert (verdict.run.stdout, verdict.run.stderr, verdict.run.files) == (b"abc", b"x\n", {"out": b"y\n"})
    assert verdict.run.cpu_seconds is not None
    assert 0 < verdict.run.cpu_seconds < 5


def test_much_input_is_no_deadlock(judge: Judge) -> None:
    verdict = judge("import sys; print(len(sys.stdin.read()))", stdin=b"x" * (5 << 20))
    assert verdict.run is not None
    assert verdict.run.stdout == b"5242880\n"
    assert judge("print(1)", stdin=b"x" * (5 << 20)).status is Status.FINISHED


def test_files_go_in_and_out(judge: Judge) -> None:
    files = {"data/deep/in.bin": bytes(range(256)), "other.txt": b""}
    code = "import os\nopen('data/out', 'wb').write(open('data/deep/in.bin', 'rb').read() * 2)\nos.remove('other.txt')\nopen('other.txt', 'w').write('new')"
    verdict = judge(code, files=files, fetch=("data/out", "other.txt"))
    assert verdict.run is not None
    assert dict(verdict.run.files) == {"data/out": bytes(range(256)) * 2, "other.txt": b"new"}


def test_cpp_is_compiled_in_a_sandbox_of_its_own(judge: Judge) -> None:
    code = '#include <cstdio>\n#include <fstream>\nint main() { std::ifstream f("in"); int x; f >> x; std::printf("%d", x * 2); }'
    verdict = judge(code, language="cpp", files={"in": b"21"})
    assert verdict.run is not None
    assert verdict.run.stdout == b"42"
    assert verdict.compile is not None
    broken = judge("int main() {", language="cpp")
    assert (broken.status, broken.run) == (Status.COMPILE_FAILED, None)
    assert broken.compile is not None
    assert b"error" in broken.compile.stderr


def test_the_sandboxs_own_tools_are_those_of_the_machine() -> None:
    assert set(languages()) == {"python", "cpp", "bash", "nodejs", "go", "rust", "java"} == set(LANGUAGES)
    assert toolchain("python").absent is None
    for folder, _ in (pair for name in LANGUAGES for pair in toolchain(name).folders):
        assert not Path.home().is_relative_to(folder)


def test_any_descriptors_may_be_taken_already(isolation: Isolation) -> None:
    code = (
        "import os\nfrom clusterctl.sandbox import isolation, user_namespaces\nfrom clusterctl.sandbox.program import run_program\n"
        "from clusterctl.sandbox.verdict import ProgramRequest\nrequest = ProgramRequest(language='bash', code='echo in')\n"
        "for _ in range(9):\n    os.open('/dev/null', os.O_RDONLY)\n    user_namespaces._idle.clear()\n"
        f"    verdict = run_program(request, None, isolation.{isolation.name.upper()})\n"
        "    print(verdict.status.value, verdict.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["finished "] * 9, done.stderr


def test_other_children_keep_our_standard_streams(isolation: Isolation) -> None:
    code = (
        "import subprocess\nfrom clusterctl.sandbox import isolation\nfrom clusterctl.sandbox.program import run_program\n"
        "from clusterctl.sandbox.verdict import ProgramRequest\n"
        f"run_program(ProgramRequest(language='bash', code='true'), None, isolation.{isolation.name.upper()})\n"
        "subprocess.run(['sh', '-c', 'cat; cat >&2 /dev/null'], check=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input="through", capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("through", "", 0)


def test_an_unknown_language_is_no_fault_of_the_program(judge: Judge) -> None:
    verdict = judge("", language="cobol")
    assert verdict.status is Status.SANDBOX_ERROR
    assert "python" in verdict.message


def test_a_sandbox_that_cannot_begin_says_why(
    judge: Judge, isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_sandbox, "START_SECONDS", 0.0)
    monkeypatch.setattr(program, "START_SECONDS", 0.0)
    verdict = judge("print(1)")
    assert verdict.status is Status.SANDBOX_ERROR
    assert "too much at once" in verdict.message
    monkeypatch.undo()
    killing = replace(isolation, command=lambda box: ["/bin/sh", "-c", "kill -9 $$"])
    verdict = run_program(ProgramRequest(language="python", code=""), None, killing)
    assert (verdict.status, verdict.message) == (
        Status.SANDBOX_ERROR,
        "the sandbox was killed from outside, for lack of memory?",
    )


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../b", "a//b", "./a", "", "a\0b", "a\nb", "-rf", "a/"])
def test_paths_outside_the_working_folder_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match="no path inside"):
        ProgramRequest(language="python", code="", files={name: b""})
    with pytest.raises(SpecError, match="no path inside"):
        ProgramRequest(language="python", code="", fetch=(name,))


def test_too_many_files_are_refused() -> None:
    with pytest.raises(SpecError, match="more than 200"):
        ProgramRequest(language="python", code="", files={str(number): b"" for number in range(201)})


@given(st.binary(max_size=4000))
def test_any_bytes_can_be_unpacked(archive: bytes) -> None:
    assert isinstance(_unpack(archive, ("a",)), dict)


def test_hostile_archives_give_plain_files_only() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, kind in (
            ("link", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("device", tarfile.CHRTYPE),
            ("folder", tarfile.DIRTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        member = tarfile.TarInfo("plain")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"ok"))
    whole = made.getvalue()
    everything = ("link", "hard", "device", "folder", "plain")
    assert _unpack(whole, everything) == {"plain": b"ok"}
    lying = bytearray(whole)
    at = whole.index(b"plain")
    lying[at + 124 : at + 136] = b"77777777777\0"
    assert set(_unpack(bytes(lying), everything)) <= {"plain"}


def archive_of(*names: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            content = str(number).encode()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def test_an_answer_holds_what_was_asked_for_and_nothing_else() -> None:
    hostile = ("../../../.ssh/authorized_keys", "/etc/passwd", "out/../../x", "out//x", "out/./x", "./out", "output")
    hostile += ("out/" + "n" * 256, "out" + "/d" * 600, "out/a\nb", "out/a\x1b[2J", "", ".", "..", "-rf", "OUT")
    archive = archive_of(*hostile, "out/deep/a", "one", "one", *hostile)
    assert _unpack(archive, ("out", "one")) == {"out/deep/a": b"16", "one": b"17"}
    assert _unpack(archive, ()) == {}
    many = archive_of(*(f"out/{number}" for number in range(2100)))
    assert len(_unpack(many, ("out",))) == 2000


def test_a_program_that_writes_into_the_report_adds_nothing_to_the_answer(judge: Judge) -> None:
    """Through the first process, where it isn't somebody else's; the answer stays what was asked for."""
    code = """
import base64, os
archive = base64.b64decode(open("forged").read())
for process in filter(str.isdigit, os.listdir("/proc")):
    for number in range(3, 20):
        try: os.write(os.open(f"/proc/{process}/fd/{number}", os.O_WRONLY), archive)
        except OSError: pass
open("out", "w").write("mine")
"""
    forged = base64.b64encode(archive_of("../../../.ssh/authorized_keys", "/etc/cron.d/x", "more", "forged"))
    verdict = judge(code, files={"forged": forged}, fetch=("out",))
    assert verdict.run
    assert set(verdict.run.files) <= {"out"}


# --- the choice of a mechanism


@pytest.fixture
def _fresh() -> None:
    isolation.why_not.cache_clear()
    commands.tool.cache_clear()


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, _fresh: None) -> Callable[[str], None]:
    """Take a tool off PATH: a folder of links to all others."""

    def hide(*tools: str) -> None:
        for folder in ("/usr/sbin", "/usr/bin"):
            for file in Path(folder).iterdir():
                link = tmp_path / file.name
                if file.name not in tools and not link.is_symlink():
                    link.symlink_to(file)
        monkeypatch.setenv("PATH", str(tmp_path))

    yield hide
    isolation.why_not.cache_clear()
    commands.tool.cache_clear()


def test_without_bubblewrap_the_next_best_is_taken_and_says_what_is_weaker(hidden: Callable[..., None]) -> None:
    hidden("bwrap")
    found = find_isolation()
    assert found.name == "unshare"
    assert "system-call filter" in found.weaker
    verdict = run_program(ProgramRequest(language="python", code="import os; print(os.listdir('/'))"))
    assert verdict.isolation == "unshare"
    assert verdict.run is not None
    assert b"home" not in verdict.run.stdout


def test_without_any_tool_nothing_runs_unprotected(hidden: Callable[..., None]) -> None:
    hidden("bwrap", "unshare")
    with pytest.raises(ClusterctlError, match=r"bwrap is not installed.*unshare is not installed") as raised:
        run_program(ProgramRequest(language="python", code="print(1)"))
    assert "--unsafe-no-sandbox" in (raised.value.hint or "")


def test_unprotected_only_when_asked_for_and_leaves_no_folder() -> None:
    found = find_isolation(unprotected=True)
    assert found is UNPROTECTED
    assert found.weaker
    code = "import os; open('left', 'w'); print(os.getcwd())"
    verdict = run_program(ProgramRequest(language="python", code=code), Policy(), found)
    assert verdict.run is not None
    assert not Path(verdict.run.stdout.decode().strip()).exists()
    assert (
        run_program(ProgramRequest(language="python", code="while True: pass", run_seconds=0.3), Policy(), found).status
        is Status.TIME_LIMIT
    )


def test_bubblewrap_is_offered_not_forced(monkeypatch: pytest.MonkeyPatch, hidden: Callable[..., None]) -> None:
    hidden("bwrap", "dnf", "apk", "pacman", "zypper")
    asked: list[str] = []
    monkeypatch.setattr(isolation, "_run", lambda line: pytest.fail("nobody said yes"))
    monkeypatch.setattr(isolation.os, "geteuid", lambda: 0)
    isolation.offer_bubblewrap(lambda question: bool(asked.append(question)))
    assert "apt-get install -y bubblewrap" in asked[0]
    monkeypatch.setattr(isolation.os, "geteuid", lambda: 1000)
    isolation.offer_bubblewrap(lambda question: pytest.fail("only root may"))


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("bwrap"), reason="only root may install, here by a link to it"
)
def test_bubblewrap_is_installed_by_the_systems_package_manager(
    monkeypatch: pytest.MonkeyPatch, hidden: Callable[..., None], tmp_path: Path
) -> None:
    hidden("bwrap", "apt-get", "dnf", "apk", "pacman", "zypper")
    monkeypatch.setattr(isolation.os, "geteuid", lambda: 0)
    assert isolation.installer() is None
    manager = tmp_path / "apt-get"
    manager.write_text(
        f'#!/bin/sh\n[ "$1" = update ] || ln -s {shutil.which("bwrap", path="/usr/bin")} {tmp_path}/bwrap\n'
    )
    manager.chmod(0o755)
    assert find_isolation().name == "unshare"
    isolation.offer_bubblewrap(lambda _: True)
    assert find_isolation().name == "bubblewrap"
    assert isolation.installer() is None
    (tmp_path / "bwrap").unlink()
    manager.write_text("#!/bin/sh\nexit 100\n")
    with pytest.raises(ClusterctlError, match="`apt-get install -y bubblewrap` failed"):
        isolation.offer_bubblewrap(lambda _: True)


def test_plain_users_need_no_rights() -> None:
    code = (
        "import os, sys, encodings.idna, resource\n"
        "from clusterctl.sandbox.program import run_program\nfrom clusterctl.sandbox.verdict import ProgramRequest\n"
        "if os.geteuid() == 0:\n    os.setgroups([]); os.setgid(5432); os.setuid(5432)\n"
        "for language, code in (('python', 'import os; print(os.getuid())'), ('bash', 'echo $((2 * 21))')):\n"
        "    verdict = run_program(ProgramRequest(language=language, code=code))\n"
        "    print(verdict.status.value, verdict.run.stdout.decode().strip(), verdict.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["finished", "finished"], done.stderr
    assert done.stdout.splitlines()[1] == "finished 42 "


# --- what dies with its owner


def test_sandboxes_die_with_their_owner(isolation: Isolation) -> None:
    mark = f"orphan-{os.getpid()}"
    code = (
        "import sys, threading\nfrom clusterctl.sandbox import isolation\nfrom clusterctl.sandbox.program import run_program\n"
        "from clusterctl.sandbox.verdict import ProgramRequest\n"
        f"request = ProgramRequest(language='bash', code='exec -a {mark} sleep 300', run_seconds=60)\n"
        f"arguments = (request, None, isolation.{isolation.name.upper()})\n"
        "for _ in range(3):\n    threading.Thread(target=lambda: print(run_program(*arguments), flush=True)).start()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as owner:
        try:
            launchers = orphaned_sandboxes.owner_mark(owner.pid)
            _wait(lambda: len(_named(mark)) == 3)
        finally:
            owner.kill()
            print("sandboxes that ended too early:", owner.communicate()[0].decode())
    _wait(lambda: _named(mark) == _named(launchers) == [])


def test_a_launcher_whose_owner_is_gone_is_an_orphan_and_is_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as gone:
        mark = orphaned_sandboxes.owner_mark(gone.pid)
        gone.kill()
    alive = orphaned_sandboxes.owner_mark(os.getpid())
    processes = [subprocess.Popen([name, "60"], executable="/bin/sleep") for name in (mark, alive)]
    try:
        _wait(lambda: bool(_named(mark)) or processes[0].poll() is not None)  # a program's name comes a moment after it
        orphaned_sandboxes.end_orphans()  # or another test's server does
        assert processes[0].wait(timeout=120) == -9
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", ["pipe", "text"])
def test_a_program_that_calls_itself_like_a_launcher_leads_to_no_file(kind: str) -> None:
    """Also one in a sandbox may, and root looks at the names of all."""
    with tempfile.TemporaryDirectory(prefix="x", dir="/tmp") as folder:
        stat = Path(folder) / "stat"
        os.mkfifo(stat) if kind == "pipe" else stat.write_text("x")
        marks = [f"{orphaned_sandboxes.MARK_PREFIX}-{owner}-1" for owner in (folder, "../..", "self", "", "1/../9")]
        assert not any(map(orphaned_sandboxes.is_orphaned, marks))


def test_a_dead_owner_that_nobody_waited_for_is_gone_and_what_is_anothers_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen(["sleep", "60"]) as owner:
        mark = orphaned_sandboxes.owner_mark(owner.pid)
        assert not orphaned_sandboxes.is_orphaned(mark)
        owner.kill()
        _wait(lambda: orphaned_sandboxes.is_orphaned(mark))
    monkeypatch.setattr(orphaned_sandboxes, "orphans", lambda: [1])
    monkeypatch.setattr(orphaned_sandboxes.os, "kill", lambda *_: (_ for _ in ()).throw(PermissionError))
    assert orphaned_sandboxes.end_orphans() == 1


def _named(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [process.name] if (process / "cmdline").read_bytes().split(b"\0")[0] == mark.encode() else []
        except OSError:
            continue
    return found


def _wait(until: Callable[[], bool], seconds: float = 120.0) -> None:
    import time

    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.02)
