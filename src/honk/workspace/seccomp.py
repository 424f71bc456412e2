"""The system-call filter of every sandbox, as the classic BPF program that bubblewrap loads.

It denies what no build needs and what others have broken out of sandboxes with. The rest of the kernel is left as it
is: a list of what is allowed would be shorter than what compilers, browsers and runtimes come to use. What Flatpak and
Docker deny by default was looked up in their sources (`common/flatpak-run.c`, `profiles/seccomp/default.json`).
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERROR = 0x00050000
_DENY = _ERROR | errno.EPERM
_UNKNOWN = _ERROR | errno.ENOSYS

# Offsets into the kernel's struct seccomp_data; both machines are little-endian.
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16

_LOAD, _GO, _RETURN = 0x20, 0x05, 0x06
_EQUAL, _AT_LEAST, _GREATER, _ANY_BIT = 0x15, 0x35, 0x25, 0x45

_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_X32 = 0x40000000

# ptrace and process_vm_readv are left: the PID namespace has nobody but the sandbox's own processes, and debuggers,
# sanitizers and crash handlers look at their own children that way.
DENIED = {
    # the host's time, modules, swap, accounting, log
    "acct": (163, 89),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "settimeofday": (164, 170),
    "create_module": (174, None),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    # the keyring is no namespace's own
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "request_key": (249, 218),
    # much kernel behind one door
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    "uselib": (134, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "nfsservctl": (180, 42),
    # a ring's operations pass no filter
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # files by number instead of by path
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # memory that nobody can count, and of other machines' nodes
    "memfd_secret": (447, 447),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
}
"""System calls by their numbers on x86_64 and aarch64, None where there is no such call."""

OWN_NAMESPACES = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
}
"""What only a sandbox in the sandbox has a use for."""

_CLONE, _UNSHARE, _CLONE3 = (56, 220), (272, 97), (435, 435)
_IOCTL, _PERSONALITY, _SOCKET, _FALLOCATE, _SHMGET = (16, 29), (135, 92), (41, 198), (285, 47), (29, 194)

_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)
"""Linux, 32 bit, UNAME26, no randomisation of one's own addresses (sanitizers and debuggers), and the question."""
_FAMILIES = (0, 1, 2, 10, 16)
"""AF_UNSPEC, UNIX, INET, INET6 and NETLINK."""
_LARGEST_SEGMENT = 1 << 20
_PUNCH_HOLE = 2

_Instruction = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Machine:
    audit: int
    column: int

    def numbers(self, calls: Iterable[tuple[int | None, ...]]) -> list[int]:
        return [number for call in calls if (number := call[self.column]) is not None]


_MACHINES = {"x86_64": _Machine(0xC000003E, 0), "aarch64": _Machine(0xC00000B7, 1)}


def supported(machine: str | None = None) -> bool:
    """Whether there is a filter for this kind of machine."""
    return (machine or platform.machine()) in _MACHINES


@cache
def program(*, nested: bool, machine: str | None = None) -> bytes:
    """The filter's instructions; empty where there is no filter for this kind of machine.

    With `nested`, namespaces can be made inside, and file systems mounted in them.
    """
    here = _MACHINES.get(machine or platform.machine())
    if here is None:
        return b""
    instructions = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, here.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if here.column == 0:
        instructions += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _UNKNOWN)]
    instructions += _each(here.numbers(DENIED.values()), _DENY)
    if not nested:
        instructions += _each(here.numbers(OWN_NAMESPACES.values()), _DENY)
        # Its flags are behind a pointer, where no filter sees them; the C library then calls `clone`.
        instructions += _each(here.numbers([_CLONE3]), _UNKNOWN)
        for call in (_CLONE, _UNSHARE):
            instructions += _when(call[here.column], [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _returns(_DENY)])
    # The kernel reads the low half of an ioctl's number only, and so must this.
    body = [_argument(1), *_each([_TIOCSTI, _TIOCLINUX], _DENY)]
    instructions += _when(_IOCTL[here.column], body)
    instructions += _when(_PERSONALITY[here.column], [_argument(0), *_none_of(_PERSONALITIES, _DENY)])
    # Some families, such as vsock, reach the machine outside whatever the network namespace.
    no_family = _ERROR | errno.EAFNOSUPPORT
    instructions += _when(_SOCKET[here.column], [_argument(0), *_none_of(_FAMILIES, no_family)])
    # One call would fill the disk before anybody can look; the C library writes instead.
    no_reserve = _ERROR | errno.EOPNOTSUPP
    body = [_argument(1), (_ANY_BIT, 1, 0, _PUNCH_HOLE), _returns(no_reserve)]
    instructions += _when(_FALLOCATE[here.column], body)
    # A segment that no process has attached is on nobody's account, so there can only be small ones.
    body = [
        *(_argument(1, high=True), (_EQUAL, 1, 0, 0), _returns(_DENY)),
        *(_argument(1), (_GREATER, 0, 1, _LARGEST_SEGMENT), _returns(_DENY)),
    ]
    instructions += _when(_SHMGET[here.column], body)
    instructions.append(_returns(_ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


def _argument(number: int, *, high: bool = False) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * number + (4 if high else 0))


def _returns(action: int) -> _Instruction:
    return (_RETURN, 0, 0, action)


def _each(values: Sequence[int], action: int) -> list[_Instruction]:
    """`action` for each of the values, none of which is so many that a jump would not reach the end."""
    count = len(values)
    jumps: list[_Instruction] = [(_EQUAL, count - number, 0, value) for number, value in enumerate(values)]
    return [*jumps, (_GO, 0, 0, 1), _returns(action)]


def _none_of(values: Sequence[int], action: int) -> list[_Instruction]:
    """`action` for all but the values."""
    count = len(values)
    jumps: list[_Instruction] = [(_EQUAL, count - number, 0, value) for number, value in enumerate(values)]
    return [*jumps, _returns(action)]


def _when(number: int, body: list[_Instruction]) -> list[_Instruction]:
    """The body for one system call, which is allowed if the body does not return; the others go on behind it."""
    return [(_EQUAL, 0, len(body) + 1, number), *body, _returns(_ALLOW)]
