"""Linux calls that Python 3.11 lacks, through ctypes.

It can be imported on any system; calling what is missing there raises :class:`OSError` or :class:`AttributeError`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEWCGROUP, CLONE_NEWTIME, CLONE_THREAD = 0x02000000, 0x00000080, 0x00010000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = 1024, 2048, 4096, 16384, 1 << 18, 1 << 21
MS_MOVE, MNT_DETACH = 8192, 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 1, 4, 38, 36
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_KEEPCAPS = 22, 2, 8
_CAPABILITY_VERSION_3, _CHECKPOINT_RESTORE = 0x20080522, 40
_IN_ATTRIB, _IN_OPEN, _IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x4, 0x20, 0x40, 0x80, 0x100, 0x200

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446  # on every architecture
_LANDLOCK_RULE_PATH_BENEATH, _LANDLOCK_VERSION = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
if sys.platform == "linux":
    _libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    _libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    _libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]

_POOL, _POOL_HEADER = 16384, 48
"""Bytes of a pool of Python's allocator, and of its header. A pool is aligned, and holds small blocks of one size."""
_THREAD_STACK, _M_ARENA_MAX = 2 * 2**20, -8
_MAX_HOLES = 2048
"""The most holes of a size to fill; there are fewer than half as many, but some allocators have no pools."""

_fork = ctypes.PyDLL(None).fork  # PyDLL: the interpreter's lock is held
_clone = ctypes.PyDLL(None, use_errno=True).syscall
_CLONE = 220 if sys.platform == "linux" and os.uname().machine == "aarch64" else 56

_capset = getattr(ctypes.PyDLL(None), "capset", None)
_of_this_thread = ctypes.byref((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0))
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()
_none = ctypes.byref(_NO_CAPABILITIES)


def fork() -> int:
    """Fork this process, without Python's own after-fork handlers; only for a process with a single thread.

    Those handlers reset threads, locks and random numbers, which a process with one thread does not need, and
    cost a child more than the fork itself.
    """
    pid: int = _fork()
    if pid < 0:
        raise OSError(errno.EAGAIN, "fork failed")
    return pid


def fork_as_process_1() -> int:
    """Fork this process, which has a single thread; the child is process 1 of a new process namespace.

    Unlike ``unshare`` it can be done again and again.
    """
    flags = ctypes.c_ulong(CLONE_NEWPID | signal.SIGCHLD)
    pid = int(_clone(ctypes.c_long(_CLONE), flags, *[ctypes.c_ulong(0)] * 4))
    _check(0 if pid >= 0 else -1, "clone")
    return pid


def tidy_heap() -> None:
    """Fill the holes in the heap, of Python's allocator and of glibc's.

    A child then allocates in new pages. In a hole of a page with objects of the parent, it would need a copy of that
    page.
    """
    allocate = ctypes.pythonapi.PyObject_Malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    for size in range(16, 513, 16):
        for _ in range(_MAX_HOLES):
            if (allocate(size) or 0) % _POOL == _POOL_HEADER:
                break  # the first block of a new pool: no hole is left
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc.restype, _libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        _libc.free.restype, _libc.free.argtypes = None, [ctypes.c_void_p]
        _libc.sbrk.restype = ctypes.c_void_p
        _libc.malloc_trim(0)
        unused = _libc.sbrk(0) - 2 * resource.getpagesize()  # where unused memory starts: trimming leaves a page
        for size in [*range(65536, 4096, -4096), *range(4096, 1024, -256), *range(1024, 8, -16)]:
            for _ in range(_MAX_HOLES):
                place = _libc.malloc(size)
                if place is None or place >= unused:
                    _libc.free(place)
                    break


def reserve_less_for_threads() -> None:
    """Have new threads reserve little address space, which is limited: a smaller stack, and no heap of their own.

    Without it the hundred threads of a pool would reserve 8 MiB each, of which they use a few KiB.
    """
    if hasattr(_libc, "pthread_setattr_default_np"):
        attributes = ctypes.create_string_buffer(256)  # more than a pthread_attr_t takes anywhere
        _libc.pthread_attr_init(attributes)
        _libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_THREAD_STACK))
        _libc.pthread_setattr_default_np(attributes)
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_ARENA_MAX, 1)


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def unshare(flags: int) -> None:
    """Move to new namespaces of the kinds in ``flags`` (``CLONE_NEW...``)."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount ``source`` on ``target``."""
    done = _libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, data.encode() or None)
    _check(done, f"mount {target}")


def bind(source: str, target: str, flags: int) -> None:
    """Mount the file or folder ``source`` at ``target`` too, with further ``MS_...`` flags.

    Without privileges a namespace may add restrictions to a mount but not lift existing ones, so these are read
    first and passed again.
    """
    mount(source, target, "", MS_BIND | MS_REC)
    flags_now = os.statvfs(target).f_flag
    kept = flags_now & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)
    kept |= MS_RELATIME if flags_now & os.ST_RELATIME else 0
    mount("", target, "", MS_BIND | MS_REMOUNT | flags | kept)


def unmount(target: str) -> None:
    """Detach a mount at once; the kernel frees it when nothing uses it any more."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def forbid_new_privileges() -> None:
    """Disable setuid programs and file capabilities for this process and its children."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """Prevent other processes of the same user from attaching to this one."""
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def keep_capabilities_of_another_user() -> None:
    """Let this thread keep its permitted capabilities when it becomes another user."""
    _prctl(_PR_SET_KEEPCAPS, 1)


def keep_only_numbering_of_processes() -> None:
    """Give up all capabilities of this thread but one, which it must have: to set the next process id."""
    place, bit = divmod(_CHECKPOINT_RESTORE, 32)
    kept = (ctypes.c_uint32 * 6)()
    kept[3 * place] = kept[3 * place + 1] = 1 << bit  # effective, permitted, and not inheritable
    _check(_libc.capset(_of_this_thread, ctypes.byref(kept)), "capset")


def drop_capabilities() -> None:
    """Give up all capabilities of this thread."""
    if _capset is None or _capset(_of_this_thread, _none) != 0:
        raise OSError("capset failed")


def install_filter(program: bytes) -> None:
    """Apply a seccomp filter, an array of ``struct sock_filter``, to this thread irrevocably."""
    code = ctypes.create_string_buffer(program, len(program))
    held = _FilterProgram(len(program) // 8, ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(held))


def watch_list() -> int:
    """Return a new inotify descriptor, which does not block; -1 if there is none."""
    return int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)) if hasattr(_libc, "inotify_init1") else -1


def watch(watches: int, folder: str) -> None:
    """Have a descriptor of :func:`watch_list` become readable by whatever is opened, made or changed in a folder."""
    events = _IN_ATTRIB | _IN_OPEN | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
    done = _libc.inotify_add_watch(watches, os.fsencode(folder), events)
    _check(0 if done >= 0 else -1, f"inotify_add_watch {folder}")


def landlock_version() -> int:
    """Return the version of Landlock's interface that the kernel offers; 0 for none."""
    if sys.platform != "linux":
        return 0
    none = ctypes.c_void_p(None)
    found = _libc.syscall(_LANDLOCK_CREATE_RULESET, none, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_VERSION))
    return max(0, int(found))


def landlock_ruleset(files: int, network: int, scopes: int, version: int) -> int:
    """Make a Landlock ruleset and return its descriptor.

    Args:
        files: Rights over files that it removes where no rule allows them, ``LANDLOCK_ACCESS_FS_...``.
        network: The same for TCP, ``LANDLOCK_ACCESS_NET_...``; ignored below version 4.
        scopes: What may not reach outside, ``LANDLOCK_SCOPE_...``; ignored below version 6.
        version: Result of :func:`landlock_version`.
    """
    fields = [files, network, scopes][: 1 + (version >= 4) + (version >= 6)]
    attributes = struct.pack(f"@{len(fields)}Q", *fields)
    size = ctypes.c_size_t(len(attributes))
    ruleset = int(_libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, size, ctypes.c_uint32(0)))
    _check(0 if ruleset >= 0 else -1, "landlock_create_ruleset")
    return ruleset


def landlock_allow(ruleset: int, path: str, rights: int) -> None:
    """Allow ``rights`` over ``path`` and all that is beneath it."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, descriptor)
        done = _libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, ctypes.c_uint32(0))
        _check(int(done), f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def landlock_restrict(ruleset: int, version: int) -> None:
    """Apply a ruleset to this thread and its children irrevocably; ``no_new_privs`` must be set."""
    quiet = ctypes.c_uint32(version >= 7)  # denials stay out of the kernel's audit log
    _check(int(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, quiet)), "landlock_restrict_self")


def _prctl(option: int, first: int, second: int = 0) -> None:
    _check(_libc.prctl(option, first, second, 0, 0), f"prctl {option}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
