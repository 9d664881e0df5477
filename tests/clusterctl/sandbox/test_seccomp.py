"""The system-call filter, run by an interpreter of the few BPF instructions that it uses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.errors import ClusterctlError
from clusterctl.sandbox.syscall_filter import filter_program

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def decision(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the kernel would do: run the program over a struct seccomp_data."""
    program = [struct.unpack("<HBBI", line) for line in _pieces(filter_program(machine))]
    arguments = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, MACHINES[machine] if arch is None else arch, 0, *arguments)
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, constant = program[at]
        if code == 0x06:
            return constant
        if code == 0x20:
            accumulator, if_false = struct.unpack_from("<I", data, constant)[0], 0
            jump = 0
        else:
            holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}[
                code
            ]
            jump = if_true if holds else if_false
        at += 1 + jump


def _pieces(program: bytes) -> list[bytes]:
    return [program[start : start + 8] for start in range(0, len(program), 8)]


@pytest.mark.parametrize("machine", MACHINES)
def test_programs_are_short_enough_and_every_jump_lands(machine: str) -> None:
    program = [struct.unpack("<HBBI", line) for line in _pieces(filter_program(machine))]
    assert len(program) < 4096
    for at, (code, if_true, if_false, _) in enumerate(program):
        assert code == 0x06 or at + 1 + max(if_true, if_false) < len(program)
    assert program[-1][0] == 0x06


@pytest.mark.parametrize(
    ("name", "x86_64", "aarch64", "answer"),
    [
        ("read", 0, 63, ALLOW),
        ("openat", 257, 56, ALLOW),
        ("execve", 59, 221, ALLOW),
        ("futex", 202, 98, ALLOW),
        ("ptrace", 101, 117, ERRNO | EPERM),
        ("mount", 165, 40, ERRNO | EPERM),
        ("unshare", 272, 97, ERRNO | EPERM),
        ("setns", 308, 268, ERRNO | EPERM),
        ("bpf", 321, 280, ERRNO | EPERM),
        ("keyctl", 250, 219, ERRNO | EPERM),
        ("open_by_handle_at", 304, 265, ERRNO | EPERM),
        ("process_vm_writev", 311, 271, ERRNO | EPERM),
        ("io_uring_setup", 425, 425, ERRNO | ENOSYS),
        ("clone3", 435, 435, ERRNO | ENOSYS),
        ("inotify_init1", 294, 26, ERRNO | ENOSYS),
        ("io_setup", 206, 0, ERRNO | ENOSYS),
        ("mq_open", 240, 180, ERRNO | ENOSYS),
        ("seccomp", 317, 277, ERRNO | ENOSYS),
        ("vmsplice", 278, 75, ERRNO | EPERM),
    ],
)
def test_calls(name: str, x86_64: int, aarch64: int, answer: int) -> None:
    assert decision("x86_64", x86_64) == answer, name
    assert decision("aarch64", aarch64) == answer, name


@pytest.mark.parametrize(("machine", "clone"), [("x86_64", 56), ("aarch64", 220)])
def test_threads_are_fine_and_namespaces_are_not(machine: str, clone: int) -> None:
    thread = 0x3D0F00
    assert decision(machine, clone, thread) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert decision(machine, clone, thread | flag) == ERRNO | EPERM


@pytest.mark.parametrize(("machine", "socket"), [("x86_64", 41), ("aarch64", 198)])
def test_only_sockets_of_the_own_network(machine: str, socket: int) -> None:
    allowed = [family for family in range(64) if decision(machine, socket, family) == ALLOW]
    assert allowed == [1, 2, 10, 16]
    named = {2: [0, 1, 6, 17], 10: [0, 6, 17, 58], 16: [0]}
    for family, protocols in named.items():
        assert [number for number in range(300) if decision(machine, socket, family, 1, number) == ALLOW] == protocols
    assert decision(machine, socket, 2, 6, 33) == ERRNO | 93, "DCCP"
    assert decision(machine, socket, 40) == ERRNO | EAFNOSUPPORT, "a virtual machine's host"


@pytest.mark.parametrize(("machine", "ioctl"), [("x86_64", 16), ("aarch64", 29)])
def test_nobody_types_into_a_terminal(machine: str, ioctl: int) -> None:
    assert decision(machine, ioctl, 0, 0x5401) == ALLOW
    assert decision(machine, ioctl, 0, 0x5412) == ERRNO | EPERM
    assert decision(machine, ioctl, 0, 0x5412 | 0x7 << 32) == ERRNO | EPERM, "the kernel reads 32 bits of it"


@pytest.mark.parametrize(("machine", "setsockopt"), [("x86_64", 54), ("aarch64", 208)])
def test_buffers_of_sockets_keep_their_size(machine: str, setsockopt: int) -> None:
    ignored = [
        (level, option)
        for level in (0, 1, 6, 41)
        for option in range(64)
        if decision(machine, setsockopt, 3, level, option) != ALLOW
    ]
    assert ignored == [(1, 7), (1, 8), (1, 26), (1, 50), (1, 51), (6, 31)]
    assert decision(machine, setsockopt, 3, 1, 7) == ERRNO, "0: as if it were done"
    assert decision(machine, setsockopt, 3, 1, 26) == ERRNO | EPERM, "no filters: their memory is the whole machine's"


@pytest.mark.parametrize(("machine", "setrlimit", "prlimit"), [("x86_64", 160, 302), ("aarch64", 164, 261)])
def test_only_the_limit_of_core_dumps_stays(machine: str, setrlimit: int, prlimit: int) -> None:
    for limit in range(16):
        assert decision(machine, setrlimit, limit, 1 << 40) == (ERRNO if limit == 4 else ALLOW), "0: as if it were done"
        for pointer in (1, 1 << 32):
            assert decision(machine, prlimit, 0, limit, pointer) == (ERRNO if limit == 4 else ALLOW)
        assert decision(machine, prlimit, 0, limit, 0, 1) == ALLOW, "it may be read"


@pytest.mark.parametrize(("machine", "fcntl", "mmap", "prctl"), [("x86_64", 72, 9, 157), ("aarch64", 25, 222, 167)])
def test_nothing_that_all_share_is_taken(machine: str, fcntl: int, mmap: int, prctl: int) -> None:
    refused = [command for command in range(2048) if decision(machine, fcntl, 3, command) != ALLOW]
    assert refused == [1024, 1026, 1031], "leases, notices, sizes of pipes"
    assert decision(machine, mmap, 0, 4096, 3, 0x22) == ALLOW
    assert decision(machine, mmap, 0, 4096, 3, 0x40022) == ERRNO | 12, "huge pages that the host keeps"
    assert [option for option in range(64) if decision(machine, prctl, option) != ALLOW] == [22]


@given(number=st.integers(0, 2**32 - 1))
def test_other_instruction_sets_are_killed(number: int) -> None:
    assert decision("x86_64", number, arch=0x40000003) == KILL, "32-bit"
    assert decision("x86_64", number | 0x40000000) == KILL, "x32"


def test_an_unknown_machine_is_told() -> None:
    with pytest.raises(ClusterctlError, match="riscv64"):
        filter_program("riscv64")
