"""Build the sandbox's system call filters, which ship as BPF in ``src/rrtf_trl/sandbox/isolation/filters``.

    python scripts/build_seccomp.py [--check]

Three filters for each of two architectures. All are allow-lists: a call that is not named below is answered
with EPERM, or with ENOSYS if its number is newer than this list, so that the C library takes its older way. What
would show a program what another one did is missing too, or has no effect: file locks are one for all who can read
a file, and socket cookies, clocks of other processes and the page cache are the machine's.

- ``namespaces``: for a program in namespaces of its own, which may start processes and write its own files.
- ``landlock``: for one behind Landlock alone. It may start threads but no process, send no signal, and change
  no file; what it may read is for Landlock to say.
- ``bare``: as ``landlock``, where nothing else stands: it may also open no file for writing.
"""

from __future__ import annotations

import argparse
import errno
import os
import struct
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "src/rrtf_trl/sandbox/isolation/filters"

# name, number on x86_64, number on aarch64 (- where the architecture has no such call)
ALLOWED = """
    read 0 63                   write 1 64                  readv 19 65                 writev 20 66
    pread64 17 67               pwrite64 18 68              preadv 295 69               pwritev 296 70
    close 3 57                  close_range 436 436         stat 4 -                    fstat 5 80
    lstat 6 -                   newfstatat 262 79           statfs 137 43               fstatfs 138 44
    lseek 8 62                  access 21 -                 faccessat 269 48            faccessat2 439 439
    getcwd 79 17                chdir 80 49                 fchdir 81 50                readlink 89 -
    readlinkat 267 78           getdents 78 -               getdents64 217 61           dup 32 23
    dup2 33 -                   dup3 292 24                 umask 95 166                fsync 74 82
    fdatasync 75 83             sendfile 40 71              copy_file_range 326 285     pipe 22 -
    pipe2 293 59                select 23 -                 pselect6 270 72             poll 7 -
    ppoll 271 73                epoll_create 213 -          epoll_create1 291 20        epoll_ctl 233 21
    epoll_wait 232 -            epoll_pwait 281 22          epoll_pwait2 441 441        eventfd 284 -
    eventfd2 290 19             timerfd_create 283 85       timerfd_settime 286 86      timerfd_gettime 287 87
    mmap 9 222                  mprotect 10 226             munmap 11 215               mremap 25 216
    brk 12 214                  msync 26 227                rt_sigaction 13 134         rt_sigprocmask 14 135
    rt_sigreturn 15 139         rt_sigsuspend 130 133       rt_sigtimedwait 128 137     rt_sigpending 127 136
    sigaltstack 131 132         restart_syscall 219 128     sched_yield 24 124
    sched_get_priority_max 146 125                          sched_get_priority_min 147 126
    gettimeofday 96 169         time 201 -                  nanosleep 35 101            getitimer 36 102
    setitimer 38 103            timer_settime 223 110       alarm 37 -                  timer_gettime 224 108
    timer_getoverrun 225 109    timer_delete 226 111        pause 34 -                  getpid 39 172
    getppid 110 173             gettid 186 178              getuid 102 174              geteuid 107 175
    getgid 104 176              getegid 108 177             getresuid 118 148           getresgid 120 150
    getgroups 115 158           getpgrp 111 -               uname 63 160                times 100 153
    getrusage 98 165            getrlimit 97 163            setrlimit 160 164           sendto 44 206
    recvfrom 45 207             sendmsg 46 211              recvmsg 47 212              sendmmsg 307 269
    recvmmsg 299 243            shutdown 48 210             getsockname 51 204          getpeername 52 205
    set_robust_list 273 99      rseq 334 293                set_tid_address 218 96      arch_prctl 158 -
    membarrier 324 283          getrandom 318 278           getcpu 309 168              exit 60 93
    exit_group 231 94           wait4 61 260                waitid 247 95
"""
# What is worth having only where namespaces keep it inside.
ALLOWED_INSIDE = """
    open 2 -                    openat 257 56               creat 85 -                  mkdir 83 -
    mkdirat 258 34              rmdir 84 -                  unlink 87 -                 unlinkat 263 35
    rename 82 -                 renameat 264 38             renameat2 316 276           link 86 -
    linkat 265 37               symlink 88 -                symlinkat 266 36            chmod 90 -
    fchmod 91 52                fchmodat 268 53             fchmodat2 452 452           utime 132 -
    utimes 235 -                utimensat 280 88            futimesat 261 -             truncate 76 45
    ftruncate 77 46             fallocate 285 47            fork 57 -                   vfork 58 -
    execve 59 221               kill 62 129                 tkill 200 130               tgkill 234 131
    setsid 112 157              setpgid 109 154             getpgid 121 155             getsid 124 156
    capset 126 91
"""
NEWEST = 462
"""The last call that was looked at for this list."""

X86_64, AARCH64 = 0, 1
AUDIT_ARCHITECTURE = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}
NAMES = {X86_64: "x86_64", AARCH64: "aarch64"}
VARIANTS = ("namespaces", "landlock", "bare")

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL = (RETURN, 0, 0, 0x7FFF0000), (RETURN, 0, 0, 0x80000000)

CLONE, CLONE3, STATX = (56, 220), (435, 435), (332, 291)
OPEN, OPENAT = (2, None), (257, 56)
CLONE_THREAD, CLONE_NEW = 0x00010000, 0x7E020080  # all of CLONE_NEW...: ns, cgroup, uts, ipc, user, pid, net, time
WRITES = os.O_WRONLY | os.O_RDWR
# Those that a program can move or read; the clocks of other processes have negative numbers.
CLOCKS = list(range(12))
# Calls that depend on an argument: its index, and the values that it may have.
BY_ARGUMENT = {
    "prctl": ((157, 167), 0, [3, 15, 16, 21, 23, 39, 0x53564D41]),  # names, and questions about oneself
    "ioctl": ((16, 29), 1, [0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451]),  # is it a terminal, how much is there
    "fcntl": ((72, 25), 1, [0, 1, 2, 3, 4, 5, 36, 1030, 1032]),  # no owners, leases and pipe sizes
    "prlimit64": ((302, 261), 0, [0]),  # of oneself
    "sched_getaffinity": ((204, 123), 0, [0]),
    "sched_setaffinity": ((203, 122), 0, [0]),
    "sched_getparam": ((143, 121), 0, [0]),
    "sched_getscheduler": ((145, 120), 0, [0]),
    "sched_rr_get_interval": ((148, 127), 0, [0]),
    "getpriority": ((140, 141), 1, [0]),
    "clock_gettime": ((228, 113), 0, CLOCKS),
    "clock_getres": ((229, 114), 0, CLOCKS),
    "clock_nanosleep": ((230, 115), 0, CLOCKS),
    "timer_create": ((222, 107), 0, CLOCKS),
    "preadv2": ((327, 286), 5, [0]),  # no flags: one of them tells whether a page is in the page cache
    "pwritev2": ((328, 287), 5, [0]),
    "fadvise64": ((221, 223), 3, [0, 1, 2, 3, 5]),
    "madvise": (
        (28, 233),
        2,
        [0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23],
    ),  # none about shared pages
}
# Of these, values by which programs could signal each other: they succeed, and do nothing.
NO_EFFECT = {
    "fcntl": [6, 7, 37, 38],  # locks, of which every reader of a file learns
    "fadvise64": [4],  # POSIX_FADV_DONTNEED takes a file from the page cache
}
# Without namespaces there are other processes to ask about, so only oneself.
BY_ARGUMENT_OUTSIDE = {"getpgid": ((121, 155), 0, [0]), "getsid": ((124, 156), 0, [0])}
SOCKETPAIR, AF_UNIX = (53, 199), 1
# A pair of datagram sockets could send to any socket of the machine that has a name.
STREAMS = [os_flags | 1 for os_flags in (0, 0x800, 0x80000, 0x80800)]  # with and without NONBLOCK and CLOEXEC
GETSOCKOPT, SOL_SOCKET = (55, 209), 1
SOCKET_OPTIONS = [3, 4, 7, 8, 16, 20, 21, 30, 38, 39]  # type, error, buffers; no cookies, no process ids of others
# A futex without FUTEX_PRIVATE may be a page of a file that all programs see. Without namespaces there are threads
# alone, which need private ones; only pthread_join waits otherwise, and asks again after EAGAIN.
FUTEX, FUTEX_PRIVATE = (202, 98), 0x80
FUTEX_WAITS, FUTEX_WAKES = [0, 9, 0x100, 0x109], [1, 10]
assert CLONE_NEW & CLONE_THREAD == 0

Line = tuple[int, int, int, int]


def build(architecture: int, variant: str) -> bytes:
    """Return a filter as an array of ``struct sock_filter``."""
    code: list[Line] = [
        (LOAD, 0, 0, 4),  # the architecture
        (EQUAL, 1, 0, AUDIT_ARCHITECTURE[architecture]),
        KILL,
        (LOAD, 0, 0, 0),  # the number
    ]
    if architecture == X86_64:  # the x32 calls have numbers of their own above this bit
        code += [(AT_LEAST, 0, 1, 0x40000000), KILL]

    def when(numbers: tuple[int | None, ...], *then: Line) -> None:
        number = numbers[architecture]
        if number is not None:
            code.append((EQUAL, 0, len(then), number))
            code.extend(then)

    deny, no_such_call, nothing, again = map(fail, (errno.EPERM, errno.ENOSYS, 0, errno.EAGAIN))
    inside = variant == "namespaces"
    for numbers in calls(ALLOWED) + (calls(ALLOWED_INSIDE) if inside else []):
        when(numbers, ALLOW)
    for name, (numbers, argument, values) in (BY_ARGUMENT | ({} if inside else BY_ARGUMENT_OUTSIDE)).items():
        when(numbers, word(argument), *among(values, ALLOW), *among(NO_EFFECT.get(name, []), nothing), deny)
    when(SOCKETPAIR, word(0), (EQUAL, 1, 0, AF_UNIX), deny, word(1), *among(STREAMS, ALLOW), deny)
    when(GETSOCKOPT, word(1), (EQUAL, 1, 0, SOL_SOCKET), deny, word(2), *among(SOCKET_OPTIONS, ALLOW), deny)
    when(STATX, no_such_call)  # it tells how many mounts there were; the C library falls back to stat
    when(CLONE3, no_such_call)  # its flags are out of reach here; the C library falls back to clone
    if inside:
        when(FUTEX, ALLOW)
        when(CLONE, word(0), (ANY_BIT, 0, 1, CLONE_NEW), deny, ALLOW)
    else:
        private = (ANY_BIT, 0, 1, FUTEX_PRIVATE)
        when(FUTEX, word(1), private, ALLOW, *among(FUTEX_WAITS, again), *among(FUTEX_WAKES, nothing), deny)
        when(CLONE, word(0), (ANY_BIT, 2, 0, CLONE_NEW), (ANY_BIT, 0, 1, CLONE_THREAD), ALLOW, deny)
        for numbers, argument in ((OPEN, 1), (OPENAT, 2)):
            if variant == "landlock":  # older Landlocks let a file be truncated that is opened for reading
                when(numbers, word(argument), (ANY_BIT, 0, 2, os.O_TRUNC), (ANY_BIT, 1, 0, WRITES), deny, ALLOW)
            else:
                all_writes = WRITES | os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
                when(numbers, word(argument), (ANY_BIT, 0, 1, all_writes), deny, ALLOW)
    code += [(AT_LEAST, 0, 1, NEWEST + 1), no_such_call, deny]
    return b"".join(struct.pack("<HBBI", *line) for line in code)


def fail(number: int) -> Line:
    """Do not make the call: it fails with this error, or for 0 succeeds without effect."""
    return (RETURN, 0, 0, 0x00050000 | number)


def among(values: list[int], then: Line) -> list[Line]:
    """Return by ``then`` if what was loaded is one of ``values``."""
    if not values:
        return []
    last = len(values) - 1  # each but the last jumps to `then`, the last one past it
    return [*((EQUAL, last - place, place == last, value) for place, value in enumerate(values)), then]


def word(argument: int) -> Line:
    """Load the low half of an argument: both architectures are little-endian."""
    return (LOAD, 0, 0, 16 + 8 * argument)


def calls(table: str) -> list[tuple[int | None, ...]]:
    """The numbers of a table's calls."""
    words = table.split()
    return [
        tuple(None if number == "-" else int(number) for number in words[at + 1 : at + 3])
        for at in range(0, len(words), 3)
    ]


def main() -> int:
    """Write the filters, or say whether those in the tree are what this script builds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check = parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for architecture, name in NAMES.items():
        for variant in VARIANTS:
            path, program = FOLDER / f"{name}-{variant}.bpf", build(architecture, variant)
            if path.exists() and path.read_bytes() == program:
                continue
            stale.append(path.name)
            if not check:
                path.write_bytes(program)
    print(
        "out of date: " + ", ".join(stale) if stale and check else f"{len(stale)} written" if stale else "up to date"
    )
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
