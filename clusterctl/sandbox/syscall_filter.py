"""The system-call filter, as the BPF program that bubblewrap loads.

Everything is allowed but what reaches other processes, kernel memory, mounts, new namespaces, keys, clocks, modules, or
memory that no limit of ours counts.  Refused calls fail with EPERM; those that libraries try first and then do without
fail with ENOSYS.  Numbers: Linux v6.12, arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl.
"""

from __future__ import annotations

import platform
import struct
from functools import cache

from clusterctl.errors import ClusterctlError

_ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine → column of the tables below, AUDIT_ARCH."""
_ABSENT = -1
# fmt: off
_REFUSED = {  # name: (x86-64, arm64)
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "acct": (163, 89),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224), "swapoff": (168, 225),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "syslog": (103, 116),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "vhangup": (153, 58),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "iopl": (172, _ABSENT), "ioperm": (173, _ABSENT), "modify_ldt": (154, _ABSENT),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),  # memory that outlives its process
}
_UNKNOWN = {
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "clone3": (435, 435),  # its flags are behind a pointer; the C library falls back to clone
    "memfd_create": (319, 279), "memfd_secret": (447, 447),  # memory that belongs to no process
}
# fmt: on
_CLONE, _IOCTL, _SOCKET, _SETSOCKOPT = (56, 220), (16, 29), (41, 198), (54, 208)
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: typing into somebody's terminal."""
_SOCKET_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all inside the sandbox's own network.  AF_VSOCK would reach a VM's host."""
_SOL_SOCKET, _BUFFER_SIZES = 1, (7, 8)
"""SO_SNDBUF, SO_RCVBUF: accepted and ignored, so that the kernel's buffers stay as large as `watch` counts them."""
_EPERM, _ENOSYS, _EAFNOSUPPORT, _DONE = 1, 38, 97, 0

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
    for calls, errno in ((_REFUSED, _EPERM), (_UNKNOWN, _ENOSYS)):
        for numbers in calls.values():
            if numbers[column] != _ABSENT:
                program += [(_JUMP_EQUAL, 0, 1, numbers[column]), _refuse(errno)]
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
