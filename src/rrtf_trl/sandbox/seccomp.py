"""A seccomp filter that says no to the system calls a solution to a programming exercise never needs.

It is a list of denials, not an allow-list: the namespaces are the wall where the kernel offers them, and this
stands behind them. Where they are missing it is the only wall, and stricter: without namespaces
a program may start no process, signal none but itself, and change no file.
"""

from __future__ import annotations

import errno
import os
import platform
import struct

from . import kernel

# Numbers for x86_64 and aarch64; None where the architecture has no such call.
_ALWAYS: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),
    "socket": (41, 198),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
}
_WITHOUT_NAMESPACES: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "openat2": (437, 437),
    "creat": (85, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "truncate": (76, 45),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_KILL, _TGKILL, _OPEN, _OPENAT = (62, 129), (234, 131), (2, None), (257, 56)

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_ALLOW, _KILL_PROCESS, _DENY = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
_PLACEHOLDER = 0x7FFFABCD  # stands for the pid of the process that installs the filter
_NO_SUCH_CALL = 0x00050000 | errno.ENOSYS

_NEW_NAMESPACE = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWCGROUP
)  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)


def available() -> bool:
    """Whether the filter knows this machine's architecture."""
    return platform.machine() in _ARCHITECTURES


def prepare(namespaces: bool) -> Filter:
    """Build the filter once, for children to install.

    Args:
        namespaces: Whether the processes live in namespaces of their own; without them it is stricter.
    """
    return Filter(_build(namespaces, _PLACEHOLDER))


class Filter:
    """A filter that any number of child processes can put over themselves."""

    def __init__(self, program: bytes) -> None:
        self._program = program

    def install(self) -> None:
        """Put the filter over this process for good; ``no_new_privs`` must be set."""
        own = os.getpid().to_bytes(4, "little")
        kernel.install_filter(self._program.replace(_PLACEHOLDER.to_bytes(4, "little"), own))


def _build(namespaces: bool, pid: int) -> bytes:
    column, architecture = _ARCHITECTURES[platform.machine()]
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:  # the x32 calls have numbers of their own above this bit
        code += [(_JUMP_ABOVE, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL_PROCESS)]

    def when(call: tuple[int | None, int | None], *then: tuple[int, int, int, int]) -> None:
        number = call[column]
        if number is not None:
            code.append((_JUMP_EQUAL, 0, len(then), number))
            code.extend(then)

    def low_word(argument: int) -> tuple[int, int, int, int]:
        return (_LOAD, 0, 0, 16 + 8 * argument)  # little-endian: the low half comes first

    allow, deny = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)
    denied = dict(_ALWAYS) if namespaces else _ALWAYS | _WITHOUT_NAMESPACES
    for numbers in denied.values():
        when(numbers, deny)
    when(_CLONE3, (_RETURN, 0, 0, _NO_SUCH_CALL))  # its flags cannot be read here; libc falls back to clone
    when(_PRLIMIT, low_word(0), (_JUMP_EQUAL, 1, 0, 0), (_JUMP_EQUAL, 0, 1, pid), allow, deny)
    if namespaces:
        when(_CLONE, low_word(0), (_JUMP_ANY_BIT, 0, 1, _NEW_NAMESPACE), deny, allow)
    else:
        when(_CLONE, low_word(0), (_JUMP_ANY_BIT, 0, 1, kernel.CLONE_THREAD), allow, deny)
        when(_KILL, low_word(0), (_JUMP_EQUAL, 0, 1, pid), allow, deny)
        when(_TGKILL, low_word(0), (_JUMP_EQUAL, 0, 1, pid), allow, deny)
        when(_OPEN, low_word(1), (_JUMP_ANY_BIT, 0, 1, _WRITES), deny, allow)
        when(_OPENAT, low_word(2), (_JUMP_ANY_BIT, 0, 1, _WRITES), deny, allow)
    code.append(allow)
    return b"".join(struct.pack("<HBBI", *line) for line in code)
