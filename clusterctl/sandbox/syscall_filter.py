"""The system-call filter, as the BPF program that bubblewrap loads.

Everything is allowed but what reaches other processes, kernel memory, mounts, new namespaces, keys, clocks, modules,
memory that no limit of ours counts, or what the whole machine shares: `syscalls.csv` names the calls that are refused
whatever their arguments are.
"""

from __future__ import annotations

import csv
import platform
import struct
from functools import cache
from pathlib import Path

from clusterctl.errors import ClusterctlError

_ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine → column of the numbers below, AUDIT_ARCH."""
_LINES = Path(__file__).with_name("syscalls.csv").read_text("utf-8").splitlines()
_REFUSED = tuple(csv.DictReader(line for line in _LINES if not line.startswith("#")))
"""Read at once: the process may be another user's later on."""
_CLONE, _IOCTL, _SOCKET, _SETSOCKOPT = (56, 220), (16, 29), (41, 198), (54, 208)
_FCNTL, _MMAP, _SETRLIMIT, _PRLIMIT, _PRCTL = (72, 25), (9, 222), (160, 164), (302, 261), (157, 167)
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: typing into somebody's terminal."""
_SOCKETS: dict[int, tuple[int, ...]] = {1: (), 2: (0, 1, 6, 17), 10: (0, 6, 17, 58), 16: (0,)}
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK → protocols, none named: all.  They end in the sandbox's own network; AF_VSOCK
would reach a VM's host, and SCTP, DCCP, MPTCP, netfilter and other rare protocols are where the kernel's flaws are."""
_SOL_TCP, _TCP_ULP = 6, 31
"""Protocols above TCP, such as TLS in the kernel: as if it had none."""
_SOL_SOCKET, _BUFFER_SIZES = 1, (7, 8)
"""SO_SNDBUF, SO_RCVBUF: accepted and ignored, so that the kernel's buffers stay as large as `watch` counts them."""
_SOCKET_FILTERS, _SECCOMP = (26, 50, 51), 22
"""SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, PR_SET_SECCOMP: the memory of compiled filters is one pool
of the whole machine (net.core.bpf_jit_limit), and without it no other sandbox gets its filter."""
_SHARED_FILES = (1024, 1026, 1031)
"""F_SETLEASE, F_NOTIFY: they watch what others do with a file.  F_SETPIPE_SZ: memory of a pipe, up to 1 MiB each."""
_HUGE_PAGES = 0x40000
"""MAP_HUGETLB: pages that the host keeps for others."""
_CORE = 4
"""RLIMIT_CORE: accepted and ignored, see `process`: with another limit the host's handler would run."""
_EPERM, _ENOENT, _ENOMEM, _EINVAL, _EPROTONOSUPPORT, _EAFNOSUPPORT, _DONE = 1, 2, 12, 22, 93, 97, 0
_ERRORS = {"EPERM": _EPERM, "ENOSYS": 38}

_Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant (struct sock_filter)."""
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _ARGS_AT = 0, 4, 16
"""Offsets in struct seccomp_data; an argument is 8 bytes, low half first."""
_ALLOW: _Instruction = (_RETURN, 0, 0, 0x7FFF0000)
_KILL: _Instruction = (_RETURN, 0, 0, 0x80000000)


@cache
def filter_program(machine: str = platform.machine()) -> bytes:
    """The filter for `machine`.  Raises ClusterctlError for one that isn't x86_64 or aarch64."""
    if machine not in _ARCHES:
        raise ClusterctlError(f"no system-call filter for {machine}", hint="use an x86-64 or arm64 machine")
    column, arch = _ARCHES[machine]
    program = [(_LOAD, 0, 0, _ARCH_AT), (_JUMP_EQUAL, 1, 0, arch), _KILL, (_LOAD, 0, 0, _NUMBER_AT)]
    if machine == "x86_64":  # the x32 calls have other numbers
        program += [(_JUMP_AT_LEAST, 0, 1, 0x40000000), _KILL]
    for call in _REFUSED:
        if call[machine]:
            program += [(_JUMP_EQUAL, 0, 1, int(call[machine])), _refuse(_ERRORS[call["error"]])]
    program += _by_argument(_CLONE[column], 0, [(_JUMP_ANY_BIT, 0, 1, _NEW_NAMESPACES), _refuse(_EPERM)])
    typing = [line for number in _TERMINAL_INPUT for line in ((_JUMP_EQUAL, 0, 1, number), _refuse(_EPERM))]
    program += _by_argument(_IOCTL[column], 1, typing)
    sizes = [line for option in _BUFFER_SIZES for line in ((_JUMP_EQUAL, 0, 1, option), _refuse(_DONE))]
    sizes += [line for option in _SOCKET_FILTERS for line in ((_JUMP_EQUAL, 0, 1, option), _refuse(_EPERM))]
    options = [(_JUMP_EQUAL, 0, 1 + len(sizes), _SOL_SOCKET), (_LOAD, 0, 0, _ARGS_AT + 8 * 2), *sizes]
    above = [(_LOAD, 0, 0, _ARGS_AT + 8 * 2), (_JUMP_EQUAL, 0, 1, _TCP_ULP), _refuse(_ENOENT)]
    options += [(_LOAD, 0, 0, _ARGS_AT + 8), (_JUMP_EQUAL, 0, len(above), _SOL_TCP), *above]
    program += _by_argument(_SETSOCKOPT[column], 1, options)
    watching = [line for command in _SHARED_FILES for line in ((_JUMP_EQUAL, 0, 1, command), _refuse(_EPERM))]
    program += _by_argument(_FCNTL[column], 1, watching)
    program += _by_argument(_MMAP[column], 3, [(_JUMP_ANY_BIT, 0, 1, _HUGE_PAGES), _refuse(_ENOMEM)])
    program += _by_argument(_SETRLIMIT[column], 0, [(_JUMP_EQUAL, 0, 1, _CORE), _refuse(_DONE)])
    new_limit = _ARGS_AT + 8 * 2  # a pointer: null when the limit is only read
    core = [(_JUMP_EQUAL, 0, 5, _CORE), (_LOAD, 0, 0, new_limit), (_JUMP_EQUAL, 0, 2, 0)]
    core += [(_LOAD, 0, 0, new_limit + 4), (_JUMP_EQUAL, 1, 0, 0), _refuse(_DONE)]
    program += _by_argument(_PRLIMIT[column], 1, core)
    program += _by_argument(_PRCTL[column], 0, [(_JUMP_EQUAL, 0, 1, _SECCOMP), _refuse(_EINVAL)])
    program += _by_argument(_SOCKET[column], 0, [*_sockets(), _refuse(_EAFNOSUPPORT)])
    return b"".join(struct.pack("<HBBI", *line) for line in [*program, _ALLOW])


def _sockets() -> list[_Instruction]:
    lines = []
    for family, protocols in _SOCKETS.items():
        checks = [line for protocol in protocols for line in ((_JUMP_EQUAL, 0, 1, protocol), _ALLOW)]
        body = [(_LOAD, 0, 0, _ARGS_AT + 8 * 2), *checks, _refuse(_EPROTONOSUPPORT)] if protocols else [_ALLOW]
        lines += [(_JUMP_EQUAL, 0, len(body), family), *body]
    return lines


def _refuse(errno: int) -> _Instruction:
    return (_RETURN, 0, 0, 0x00050000 | errno)


def _by_argument(number: int, argument: int, decision: list[_Instruction]) -> list[_Instruction]:
    """For call `number`: decide by the low half of its argument; if nothing is decided, allow."""
    body = [(_LOAD, 0, 0, _ARGS_AT + 8 * argument), *decision, _ALLOW]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]
