"""Build the sandbox's system call filters, which ship as BPF in ``src/rrtf_trl/sandbox/isolation/filters``.

    python scripts/build_seccomp.py [--check]

Three filters for each of two architectures. All are allow-lists: a call that is not named below is answered
with EPERM, or with ENOSYS if its number is newer than this list, so that the C library takes its older way.

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
    preadv2 327 286             pwritev2 328 287            close 3 57                  close_range 436 436
    stat 4 -                    fstat 5 80                  lstat 6 -                   newfstatat 262 79
    statx 332 291               statfs 137 43               fstatfs 138 44              lseek 8 62
    access 21 -                 faccessat 269 48            faccessat2 439 439          getcwd 79 17
    chdir 80 49                 fchdir 81 50                readlink 89 -               readlinkat 267 78
    getdents 78 -               getdents64 217 61           dup 32 23                   dup2 33 -
    dup3 292 24                 umask 95 166                fsync 74 82                 fdatasync 75 83
    sendfile 40 71              copy_file_range 326 285     fadvise64 221 223           pipe 22 -
    pipe2 293 59                select 23 -                 pselect6 270 72             poll 7 -
    ppoll 271 73                epoll_create 213 -          epoll_create1 291 20        epoll_ctl 233 21
    epoll_wait 232 -            epoll_pwait 281 22          epoll_pwait2 441 441        eventfd 284 -
    eventfd2 290 19             timerfd_create 283 85       timerfd_settime 286 86      timerfd_gettime 287 87
    mmap 9 222                  mprotect 10 226             munmap 11 215               mremap 25 216
    madvise 28 233              brk 12 214                  msync 26 227                rt_sigaction 13 134
    rt_sigprocmask 14 135       rt_sigreturn 15 139         rt_sigsuspend 130 133       rt_sigtimedwait 128 137
    rt_sigpending 127 136       sigaltstack 131 132         restart_syscall 219 128     sched_yield 24 124
    sched_getparam 143 121      sched_getscheduler 145 120  sched_get_priority_max 146 125
    sched_get_priority_min 147 126                          sched_rr_get_interval 148 127
    getpriority 140 141         nanosleep 35 101            clock_nanosleep 230 115     clock_gettime 228 113
    clock_getres 229 114        gettimeofday 96 169         time 201 -                  getitimer 36 102
    setitimer 38 103            alarm 37 -                  timer_create 222 107        timer_settime 223 110
    timer_gettime 224 108       timer_getoverrun 225 109    timer_delete 226 111        pause 34 -
    getpid 39 172               getppid 110 173             gettid 186 178              getuid 102 174
    geteuid 107 175             getgid 104 176              getegid 108 177             getresuid 118 148
    getresgid 120 150           getgroups 115 158           getpgrp 111 -               getpgid 121 155
    getsid 124 156              uname 63 160                sysinfo 99 179              times 100 153
    getrusage 98 165            getrlimit 97 163            setrlimit 160 164           sendto 44 206
    recvfrom 45 207             sendmsg 46 211              recvmsg 47 212              sendmmsg 307 269
    recvmmsg 299 243            shutdown 48 210             getsockname 51 204          getpeername 52 205
    getsockopt 55 209           futex 202 98                futex_waitv 449 449         get_robust_list 274 100
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
    setsid 112 157              setpgid 109 154
"""
NEWEST = 462
"""The last call that was looked at for this list."""

X86_64, AARCH64 = 0, 1
AUDIT_ARCHITECTURE = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}
NAMES = {X86_64: "x86_64", AARCH64: "aarch64"}
VARIANTS = ("namespaces", "landlock", "bare")

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, DENY, NO_SUCH_CALL = (RETURN, 0, 0, 0x7FFF0000), 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
KILL = (RETURN, 0, 0, 0x80000000)

CLONE, CLONE3 = (56, 220), (435, 435)
OPEN, OPENAT = (2, None), (257, 56)
CLONE_THREAD, CLONE_NEW = 0x00010000, 0x7E020080  # all of CLONE_NEW...: ns, cgroup, uts, ipc, user, pid, net, time
WRITES = os.O_WRONLY | os.O_RDWR
# Calls that depend on an argument: its index, and the values that it may have.
BY_ARGUMENT = {
    "prctl": ((157, 167), 0, [3, 15, 16, 21, 23, 39, 0x53564D41]),  # names, and questions about oneself
    "ioctl": ((16, 29), 1, [0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451]),  # is it a terminal, how much is there
    "fcntl": ((72, 25), 1, [0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032]),  # no owners, leases and pipe sizes
    "prlimit64": ((302, 261), 0, [0]),  # of oneself
    "sched_getaffinity": ((204, 123), 0, [0]),
    "sched_setaffinity": ((203, 122), 0, [0]),
}
# A pair of datagram sockets could send to any socket of the machine that has a name.
SOCKETPAIR, AF_UNIX = (53, 199), 1
STREAMS = [os_flags | 1 for os_flags in (0, 0x800, 0x80000, 0x80800)]  # with and without NONBLOCK and CLOEXEC
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

    deny: Line = (RETURN, 0, 0, DENY)
    inside = variant == "namespaces"
    for numbers in calls(ALLOWED) + (calls(ALLOWED_INSIDE) if inside else []):
        when(numbers, ALLOW)
    for numbers, argument, values in BY_ARGUMENT.values():
        choices = [(EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
        when(numbers, word(argument), *choices, deny, ALLOW)
    streams = [(EQUAL, len(STREAMS) - place, 0, value) for place, value in enumerate(STREAMS)]
    when(SOCKETPAIR, word(0), (EQUAL, 0, len(STREAMS) + 1, AF_UNIX), word(1), *streams, deny, ALLOW)
    when(CLONE3, (RETURN, 0, 0, NO_SUCH_CALL))  # its flags are out of reach here; the C library falls back to clone
    if inside:
        when(CLONE, word(0), (ANY_BIT, 0, 1, CLONE_NEW), deny, ALLOW)
    else:
        when(CLONE, word(0), (ANY_BIT, 2, 0, CLONE_NEW), (ANY_BIT, 0, 1, CLONE_THREAD), ALLOW, deny)
        for numbers, argument in ((OPEN, 1), (OPENAT, 2)):
            if variant == "landlock":  # older Landlocks let a file be truncated that is opened for reading
                when(numbers, word(argument), (ANY_BIT, 0, 2, os.O_TRUNC), (ANY_BIT, 1, 0, WRITES), deny, ALLOW)
            else:
                all_writes = WRITES | os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
                when(numbers, word(argument), (ANY_BIT, 0, 1, all_writes), deny, ALLOW)
    code += [(AT_LEAST, 0, 1, NEWEST + 1), (RETURN, 0, 0, NO_SUCH_CALL), deny]
    return b"".join(struct.pack("<HBBI", *line) for line in code)


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
