"""The system-call filter, as the BPF program that bubblewrap loads.

Everything is allowed but what reaches other processes, kernel memory, mounts, new namespaces, keys, clocks, modules, or
memory that no limit of ours counts: `syscalls.csv` names the calls that are refused whatever their arguments are.
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
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: typing into somebody's terminal."""
_SOCKET_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all inside the sandbox's own network.  AF_VSOCK would reach a VM's host."""
_SOL_SOCKET, _BUFFER_SIZES = 1, (7, 8)
"""SO_SNDBUF, SO_RCVBUF: accepted and ignored, so that the kernel's buffers stay as large as `watch` counts them."""
_EPERM, _EAFNOSUPPORT, _DONE = 1, 97, 0
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
    buffers = [(_JUMP_EQUAL, 0, 1 + len(sizes), _SOL_SOCKET), (_LOAD, 0, 0, _ARGS_AT + 8 * 2), *sizes]
    program += _by_argument(_SETSOCKOPT[column], 1, buffers)
    families = [line for family in _SOCKET_FAMILIES for line in ((_JUMP_EQUAL, 0, 1, family), _ALLOW)]
    program += _by_argument(_SOCKET[column], 0, [*families, _refuse(_EAFNOSUPPORT)])
    return b"".join(struct.pack("<HBBI", *line) for line in [*program, _ALLOW])


def _refuse(errno: int) -> _Instruction:
    return (_RETURN, 0, 0, 0x00050000 | errno)


def _by_argument(number: int, argument: int, decision: list[_Instruction]) -> list[_Instruction]:
    """For call `number`: decide by the low half of its argument; if nothing is decided, allow."""
    body = [(_LOAD, 0, 0, _ARGS_AT + 8 * argument), *decision, _ALLOW]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]
