"""Pairs of programs: one plants a trace in something of the kernel's, the other looks for it there.

``plant()`` and ``look()`` are for a program to call; what ``look()`` returns must be the same whatever other programs
have planted, or are planting at the same time. Where one fails it is refused, which is as good: then it always is.
"""

from __future__ import annotations

from typing import NamedTuple

COMMON = r'''
import ctypes, errno, fcntl, mmap, os, platform, resource, signal, socket, struct, sys, sysconfig, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype, libc.mmap.restype = ctypes.c_long, ctypes.c_void_p
ARM = platform.machine() == "aarch64"
LIBRARY = sysconfig.get_path("stdlib")
keep = []

def call(x86, arm, *arguments):
    """Make a system call; return its result, or the name of its error."""
    plain = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    found = libc.syscall(ctypes.c_long(arm if ARM else x86), *plain)
    return found if found >= 0 else errno.errorcode[ctypes.get_errno()]

def attempt(act):
    """Return what a function returns, or the name of its error."""
    try:
        return act()
    except (OSError, RuntimeError, ImportError) as error:
        return errno.errorcode.get(getattr(error, "errno", 0), type(error).__name__)

def lock(kind, start=0, length=0):
    return struct.pack("hhqqi4x", kind, 0, start, length, 0)

def shared_files():
    return [0, os.open(os.__file__, os.O_RDONLY), os.open("/dev/null", os.O_RDWR), os.open("/dev/null", os.O_RDONLY)]

def map_of_a_file(flags):
    file = os.open(os.__file__, os.O_RDONLY)
    return libc.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ, flags, file, ctypes.c_long(0))

def use_the_folder():
    before = os.stat(".")
    for number in range(20):
        attempt(lambda: open(f"x{number}", "w").write("x"))
        attempt(lambda: os.symlink("x", f"y{number}"))
    for number in range(20):
        attempt(lambda: os.unlink(f"x{number}"))
        attempt(lambda: os.unlink(f"y{number}"))
    attempt(lambda: os.utime(".", ns=(before.st_atime_ns, before.st_mtime_ns)))
    attempt(lambda: os.chmod(".", 0o755))
'''


class Probe(NamedTuple):
    """A pair of programs.

    Args:
        plant: The source of ``plant()``; :data:`COMMON` comes before it.
        look: The source of ``look()``.
        stays: Whether a trace stays when the program that planted it has ended.
        beside: Whether a program may see it that runs at the same time.
        control: Whether the trace is seen where the programs run without a sandbox, in forks of one process; False for
            what is refused to them too, or would harm the machine.
    """

    plant: str
    look: str
    stays: bool = True
    beside: bool = False
    control: bool = True


PROBES = {
    # Open files, which children of a process share
    "flags of descriptors 0 to 2": Probe(
        "def plant():\n"
        "    for number in (0, 1, 2):\n"
        "        attempt(lambda: fcntl.fcntl(number, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK | os.O_ASYNC))\n"
        "        attempt(lambda: fcntl.fcntl(number, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK))\n"
        "        attempt(lambda: os.set_inheritable(number, False))\n"
        "        for command, value in ((fcntl.F_SETOWN, os.getpid()), (10, 12), (fcntl.F_SETLEASE, 0), (1036, 1)):\n"
        "            attempt(lambda: fcntl.fcntl(number, command, value))\n",
        "def look():\n"
        "    return [attempt(lambda: fcntl.fcntl(number, command)) for number in (0, 1, 2) for command in (1, 3, 9, 11, 1025)]\n",
    ),
    "locks of open files": Probe(
        "def plant():\n"
        "    for file in shared_files():\n"
        "        for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):\n"
        "            attempt(lambda: fcntl.fcntl(file, 37, lock(kind, 5, 10)))\n"
        "        attempt(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))\n"
        "        keep.append(file)\n",
        "def look():\n"
        "    found = []\n"
        "    for file in shared_files():\n"
        "        found.append(attempt(lambda: fcntl.fcntl(file, 36, lock(fcntl.F_WRLCK)).hex()))\n"
        "        if file: found.append(attempt(lambda: len(fcntl.fcntl(file, 37, lock(fcntl.F_RDLCK)))))\n"
        "        found.append(attempt(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)))\n"
        "    return found\n",
        beside=True,
    ),
    "locks of processes": Probe(
        "def plant():\n"
        "    for file in shared_files():\n"
        "        for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):\n"
        "            attempt(lambda: fcntl.fcntl(file, fcntl.F_SETLK, lock(kind, 5, 10)))\n"
        "        keep.append(file)\n",
        "def look():\n"
        "    found = []\n"
        "    for file in shared_files():\n"
        "        found.append(attempt(lambda: fcntl.fcntl(file, fcntl.F_GETLK, lock(fcntl.F_WRLCK)).hex()))\n"
        "        found.append(attempt(lambda: len(fcntl.fcntl(file, fcntl.F_SETLK, lock(fcntl.F_RDLCK)))))\n"
        "    return found\n",
        stays=False,
        beside=True,
    ),
    "position in devices": Probe(
        "def plant():\n    for number in (0, 1, 2): attempt(lambda: os.lseek(number, 77, os.SEEK_SET))\n",
        "def look(): return [attempt(lambda: os.lseek(number, 0, os.SEEK_CUR)) for number in (0, 1, 2)]\n",
        control=False,  # that of /dev/null is always 0
    ),
    # Counters
    "process ids": Probe(
        "def plant():\n"
        "    for _ in range(7):\n"
        "        thread = threading.Thread(target=int)\n        thread.start()\n        thread.join()\n"
        "    if attempt(os.fork) == 0: os._exit(0)\n",
        "def look():\n"
        "    found = [os.getpid(), threading.get_native_id()]\n"
        "    thread = threading.Thread(target=lambda: found.append(threading.get_native_id()))\n"
        "    thread.start()\n    thread.join()\n    return found\n",
        beside=True,
    ),
    "sessions and groups": Probe(
        "def plant():\n    attempt(os.setsid)\n    attempt(lambda: os.setpgid(0, 0))\n    if attempt(os.fork) == 0: os._exit(0)\n",
        "def look(): return [os.getsid(0), os.getpgid(0), attempt(lambda: os.getsid(os.getppid()))]\n",
    ),
    "socket cookies": Probe(
        "def plant():\n"
        "    for _ in range(50):\n        a, b = socket.socketpair()\n        attempt(lambda: a.getsockopt(1, 57, 8))\n",
        "def look(): return attempt(lambda: struct.unpack('Q', socket.socketpair()[0].getsockopt(1, 57, 8)))\n",
        beside=True,
    ),
    "process ids of sockets' owners": Probe(
        "def plant(): attempt(os.fork) == 0 and os._exit(0)\n",
        "def look(): return attempt(lambda: struct.unpack('3i', socket.socketpair()[0].getsockopt(1, 17, 12)))\n",
    ),
    "inode numbers of pipes": Probe(
        "def plant():\n    for _ in range(5000):\n        a, b = os.pipe()\n        os.close(a)\n        os.close(b)\n",
        "def look(): return os.fstat(os.pipe()[0]).st_ino\n",
        beside=True,
    ),
    "numbers of mounts": Probe(
        "def plant(): use_the_folder()\n",
        "def look():\n"
        "    found = ctypes.create_string_buffer(256)\n"
        "    return [call(332, 291, -100, b'.', 0, mask, found) for mask in (0xFFF, 0x1000, 0x4000)] + [found.raw.hex()[288:304]]\n",
        control=False,  # without a sandbox no folder is mounted anew
    ),
    # The scratch folder
    "the folder": Probe(
        "def plant(): use_the_folder()\n",
        "def look():\n"
        "    here, space = os.stat('.'), os.statvfs('.')\n"
        "    first = attempt(lambda: os.fstat(os.open('first', os.O_CREAT | os.O_RDWR)).st_ino)\n"
        "    return [here.st_ino, here.st_dev, here.st_mode, here.st_nlink, here.st_size, space.f_bfree, space.f_ffree, os.listdir('.')[1:], first]\n",
        control=False,  # the temporary folder of the control is one that others use too
    ),
    "the age of the folder": Probe(
        "def plant(): use_the_folder()\n",
        "def look():\n"
        "    here, now = os.stat('.'), time.time()\n"
        "    return [now - then < 2 for then in (here.st_mtime, here.st_ctime)]\n",
        control=False,
    ),
    "unnamed files": Probe(
        "def plant():\n    for _ in range(20): attempt(lambda: os.close(os.open('.', os.O_TMPFILE | os.O_RDWR)))\n",
        "def look(): return attempt(lambda: os.fstat(os.open('first', os.O_CREAT | os.O_RDWR)).st_ino)\n",
        control=False,
    ),
    # The page cache, times of files
    "pages in the cache": Probe(
        "def plant():\n"
        "    file = os.open(LIBRARY + '/turtle.py', os.O_RDONLY)\n"
        "    here = attempt(lambda: os.preadv(file, [bytearray(10)], 8192, os.RWF_NOWAIT))\n    os.pread(file, 65536, 0)\n"
        "    if here == 'EAGAIN': return  # it was not in the cache, and is now: leave it there\n"
        "    for _ in range(3): attempt(lambda: os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED))\n"
        "    for advice in (20, 21):\n"
        "        mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)\n        attempt(lambda: mapped.madvise(advice))\n        mapped.close()\n",
        "def look():\n"
        "    file = os.open(LIBRARY + '/turtle.py', os.O_RDONLY)\n    seen = ctypes.create_string_buffer(64)\n"
        "    cached = attempt(lambda: os.preadv(file, [bytearray(10)], 8192, os.RWF_NOWAIT))\n"
        "    return [cached, call(27, 232, map_of_a_file(mmap.MAP_SHARED), 4096, seen), seen.raw]\n",
    ),
    "times of files": Probe(
        "def names(): return [f'{LIBRARY}/{name}.py' for name in ('this', 'antigravity', 'turtle', 'cgi')] + ['/dev/null', '/dev/zero', '/dev/urandom', LIBRARY, '/']\n"
        "def plant():\n"
        "    for name in names():\n"
        "        attempt(lambda: open(name, 'rb').read(10))\n        attempt(lambda: os.listdir(name))\n"
        "        attempt(lambda: os.utime(name))\n        attempt(lambda: open(name, 'r+b').write(b''))\n",
        "def names(): return [f'{LIBRARY}/{name}.py' for name in ('this', 'antigravity', 'turtle', 'cgi')] + ['/dev/null', '/dev/zero', '/dev/urandom', LIBRARY, '/']\n"
        "def look():\n"
        "    return [(found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns) for found in map(os.stat, names())]\n",
        control=False,  # it would change times of this Python's own files
    ),
    # Clocks, and what the machine counts
    "clocks of other processes": Probe(
        "def plant():\n"
        "    for _ in range(20):\n        if attempt(os.fork) == 0: (os.close(3), time.sleep(100))\n"
        "    sum(range(10**6))\n",
        "def look():\n"
        "    found = [attempt(lambda: time.clock_gettime(~pid << 3 | kind)) for pid in (1, os.getppid()) for kind in (0, 1, 2)]\n"
        "    return found + [call(230, 115, ~os.getppid() << 3 | 2, 0, bytes(16), 0)]\n",
    ),
    "memory of the machine": Probe(
        "def plant():\n    keep.append(bytearray(100 << 20))\n",
        "def look():\n    found = ctypes.create_string_buffer(128)\n    return [call(99, 179, found), found.raw[32:48]]\n",
        beside=True,
    ),
    "use of processor and memory": Probe(
        "def plant():\n    keep.append(b'x' * (100 << 20))\n    sum(range(10**6))\n",
        "def look():\n"
        "    children = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "    return [list(children), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 60000, os.times()[2:4]]\n",
        control=False,
    ),
    # What belongs to a process
    "priorities": Probe(
        "def plant():\n"
        "    for who in (0, os.getppid()):\n"
        "        attempt(lambda: os.setpriority(os.PRIO_PROCESS, who, 10))\n        attempt(lambda: os.sched_setaffinity(who, [0]))\n"
        "        attempt(lambda: os.sched_setscheduler(who, os.SCHED_BATCH, os.sched_param(0)))\n"
        "        call(251, 30, 1, who, 0x6003)\n        call(314, 274, who, bytes(48), 0)\n"
        "    attempt(lambda: os.setpriority(os.PRIO_USER, 0, 10))\n    attempt(lambda: os.nice(3))\n",
        "def look():\n"
        "    found = []\n"
        "    for who in (0, os.getppid()):\n"
        "        found.append(attempt(lambda: os.getpriority(os.PRIO_PROCESS, who)))\n        found.append(attempt(lambda: os.sched_getaffinity(who)))\n"
        "        found.append(attempt(lambda: os.sched_getscheduler(who)))\n        found.append(call(252, 31, 1, who))\n"
        "    return found\n",
        control=False,  # it would lower the priority of all that its user runs
    ),
    "limits": Probe(
        "def plant():\n"
        "    for kind in (1, 2, 4, 6, 8, 10, 12):\n"
        "        for who in (os.getppid(), 0): attempt(lambda: resource.prlimit(who, kind, (1 << 20, 1 << 20)))\n",
        "def look():\n    return [attempt(lambda: resource.prlimit(who, kind)) for who in (0, os.getppid()) for kind in range(16)]\n",
    ),
    "settings of a process": Probe(
        "def plant():\n"
        "    os.umask(0)\n    attempt(lambda: os.chdir('/usr'))\n    os.environ['PLANTED'] = '1'\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [10])\n    signal.signal(10, signal.SIG_IGN)\n    signal.alarm(50)\n"
        "    for number in (1, 2, 3, 10, 12, 15, 18, 20, 34, 64): attempt(lambda: os.kill(os.getppid(), number))\n"
        "    call(135, 92, 0x40000)\n"
        "    for option, value in ((15, b'planted'), (4, 1), (1, 9), (36, 1), (29, 5000), (38, 1), (8, 1)): libc.prctl(option, value)\n"
        "    sys.setrecursionlimit(5000)\n    sys.setswitchinterval(1)\n    threading.stack_size(1 << 20)\n",
        "def look():\n"
        "    name = ctypes.create_string_buffer(16)\n    libc.prctl(16, name)\n    mask = os.umask(0)\n    os.umask(mask)\n"
        "    handlers = [repr(signal.getsignal(number)) for number in range(1, 65) if number not in (32, 33)]\n"
        "    return [mask, os.getcwd(), dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, []), handlers, signal.sigpending(),\n"
        "            signal.getitimer(0), call(135, 92, -1), name.value, libc.prctl(3), libc.prctl(30), os.getgroups(), os.getcwd(),\n"
        "            sys.getrecursionlimit(), sys.getswitchinterval(), threading.stack_size()]\n",
        control=False,  # its signals would end what runs the control
    ),
    # What several processes share by name or number
    "System V and POSIX objects": Probe(
        "def plant():\n"
        "    for x86, arm in ((29, 194), (64, 190)): call(x86, arm, 0x77, 1, 0o1666)\n"
        "    call(68, 186, 0x77, 0o1666)\n    call(240, 180, b'rrtf', 0o102, 0o666, None)\n    call(248, 217, b'user', b'rrtf', b'x', 1, -4)\n"
        "    def semaphore():\n        import _multiprocessing\n        keep.append(_multiprocessing.SemLock(0, 3, 9, '/rrtf-leftover', False))\n"
        "    attempt(semaphore)\n    attempt(lambda: open('/dev/shm/rrtf-leftover', 'w').write('x'))\n",
        "def look():\n"
        "    def semaphore():\n        import _multiprocessing\n        return _multiprocessing.SemLock(0, 1, 9, '/rrtf-leftover', False)._get_value()\n"
        "    return [call(29, 194, 0x77, 1, 0), call(64, 190, 0x77, 1, 0), call(68, 186, 0x77, 0), call(240, 180, b'rrtf', 2, 0, None),\n"
        "            call(249, 218, b'user', b'rrtf', 0, -4), call(250, 219, 0, -4, 1), attempt(semaphore), os.path.exists('/dev/shm/rrtf-leftover')]\n",
        beside=True,
        control=False,  # the attacks have it
    ),
    "sockets with names": Probe(
        "def plant():\n"
        "    def serve(name):\n        one = socket.socket(socket.AF_UNIX)\n        one.bind(name)\n        one.listen()\n        keep.append(one)\n"
        "    attempt(lambda: serve(chr(0) + 'rrtf-planted'))\n    attempt(lambda: serve('/tmp/rrtf-planted'))\n"
        "    attempt(lambda: keep.append(socket.create_server(('127.0.0.1', 47321))))\n",
        "def look():\n"
        "    def visit(name, family=socket.AF_UNIX):\n        socket.socket(family).connect(name)\n        return 1\n"
        "    return [attempt(lambda: visit(chr(0) + 'rrtf-planted')), attempt(lambda: visit('/tmp/rrtf-planted')), attempt(lambda: visit(('127.0.0.1', 47321), socket.AF_INET))]\n",
        stays=False,
        beside=True,
        control=False,
    ),
    "futexes in files": Probe(
        "def plant():\n"
        "    for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):\n"
        "        place = map_of_a_file(flags)\n        value = ctypes.c_int.from_address(place).value\n"
        "        threading.Thread(target=call, args=(202, 98, place, 0, value, bytes(struct.pack('qq', 1, 0)), 0, 0), daemon=True).start()\n",
        "def look():\n    return [call(202, 98, map_of_a_file(flags), 1, 9, 0, 0, 0) for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE)]\n",
        stays=False,
        beside=True,
    ),
    # Accounts that the kernel keeps by user
    "timers of a user": Probe(
        "def plant():\n    timer = ctypes.c_int()\n    while call(222, 107, 1, 0, ctypes.byref(timer)) == 0: pass\n",
        "def look():\n    timer = ctypes.c_int()\n    return [call(222, 107, 1, 0, ctypes.byref(timer)) for _ in range(3)]\n",
        stays=False,
        beside=True,
        control=False,
    ),
    "memory of pipes": Probe(
        "def fill():\n"
        "    try:\n        while True: keep.append(os.pipe())\n    except OSError: pass\n"
        "def plant():\n"
        "    for _ in range(40):\n        if attempt(os.fork) == 0: fill(), os.close(3), time.sleep(100)\n"
        "    fill()\n",
        "def look(): return fcntl.fcntl(os.pipe()[0], 1032)\n",
        stays=False,
        beside=True,
        control=False,
    ),
    "descriptors in flight": Probe(
        "def plant():\n"
        "    try:\n        while True:\n            a, b = socket.socketpair()\n            a.setblocking(False)\n            keep.append((a, b))\n"
        "            for _ in range(5): socket.send_fds(a, [b'x'], [0] * 50)\n    except OSError: pass\n",
        "def look():\n    a, b = socket.socketpair()\n    return attempt(lambda: socket.send_fds(a, [b'x'], [0]))\n",
        stays=False,
        beside=True,
        control=False,
    ),
    "threads of a process": Probe(
        "def plant():\n    for _ in range(9): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n",
        "def look(): return attempt(lambda: os.stat(f'/proc/{os.getppid()}/task').st_nlink)\n",
        stays=False,
        beside=True,
        control=False,
    ),
}

LOOK_AT_MEMORY = """
import os, sys
def f():
    read, write = os.pipe()
    os.dup2(write, 2)
    sys._debugmallocstats()
    os.close(2)
    os.close(write)
    text = b"".join(iter(lambda: os.read(read, 65536), b""))
    counts = [sys.getrefcount(one) for one in (*range(-5, 257), None, True, "", (), b"", int)]
    places = [id(bytes(size)) - id(sys) for size in range(0, 470, 16)]
    return "".join(format(hash(one) % 4096, "03x") for one in (text, tuple(counts), tuple(places)))
"""
"""A program that looks at the memory which it inherited: the state of the allocator, and counts of references."""
LEAVING = {
    "an answer": "def f(): return 3",
    "an exception": "def f(): 1 / 0",
    "a syntax error": "def f(:",
    "an exit": "import os\ndef f(): os._exit(7)",
    "an exit while loading": "import sys\nsys.exit(1)",
    "a signal": "import os\ndef f(): os.kill(os.getpid(), 11)",
    "much memory": "def f(): return len(b'x' * (100 << 20))",
    "a long answer": "def f(): return 'x' * 10**6",
    "files": "def f():\n    for name in 'abc': open(name, 'w').write('x')\n    return 3\n",
    "processes": (
        "import os, time\ndef f():\n    for _ in range(5):\n"
        "        if os.fork() == 0: (os.close(3), time.sleep(100))\n    os.kill(os.getpid(), 11)\n"
    ),
    "threads": (
        "import threading, time\ndef f():\n"
        "    for _ in range(5): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n    return 3\n"
    ),
    "a garbled channel": "import os\ndef f(): os.write(3, b'garbage' * 9)",
}
"""Programs that end in different ways."""

REFUSED = {
    "listens to file events": (294, 26, 0),
    "listens to all file events": (300, 262, 0, 0),
    "handles page faults": (323, 282, 0),
    "sets up io_uring": (425, 425, 8, b"\\0" * 120),
    "sets up asynchronous IO": (206, 0, 1, b"\\0" * 8),
    "opens perf events": (298, 241, b"\\0" * 128, 0, -1, -1, 0),
    "loads BPF": (321, 280, 0, b"\\0" * 128, 128),
    "makes memory without a name": (319, 279, b"x", 0),
    "makes secret memory": (447, 447, 0),
    "opens a process": (434, 434, 1, 0),
    "takes a descriptor of a process": (438, 438, 3, 1, 0),
    "reads a process's memory": (310, 270, 1, 0, 0, 0, 0, 0),
    "advises a process's memory": (440, 440, 0, 0, 0, 0, 0),
    "compares processes": (312, 272, 1, 1, 0, 0, 0),
    "traces a process": (101, 117, 0, 0, 0, 0),
    "sets its personality": (135, 92, 0x40000),
    "locks memory": (149, 228, 0, 4096),
    "sees what is in the page cache": (27, 232, 0, 0, 0),
    "reads ahead": (187, 213, 0, 0, 0),
    "takes a handle of a file": (303, 264, -100, b".", b"\\0" * 200, b"\\0" * 8, 0),
    "lists mounts": (458, 458, 0, 0, 0, 0),
    "describes a mount": (457, 457, 0, 0, 0, 0),
    "sets an attribute of a file": (188, 5, b".", b"user.x", b"x", 1, 0),
    "asks for quotas": (179, 60, 0, 0, 0, 0),
    "reads the kernel's log": (103, 116, 10, 0, 0),
    "moves pages between pipes": (275, 76, 0, 0, 0, 0, 0, 0),
    "asks for memory policies": (239, 236, 0, 0, 0, 0, 0),
    "moves pages between nodes": (279, 239, 1, 0, 0, 0, 0, 0),
    "asks for a process's schedule": (315, 275, 1, b"\\0" * 100, 56, 0),
    "asks for a process's robust list": (274, 100, 1, b"\\0" * 8, b"\\0" * 8),
    "asks for a process's input and output class": (252, 31, 1, 1),
    "adds a key": (248, 217, b"user", b"x", b"x", 1, -4),
    "makes a message queue": (240, 180, b"x", 0o102, 0o666, 0),
    "sets the clock": (227, 112, 0, b"\\0" * 16),
    "adjusts the clock": (159, 171, b"\\0" * 300),
    "waits for several futexes": (449, 449, 0, 0, 0, 0, 0),
}
"""Calls by which programs could leave or find something else: their numbers on x86-64 and on aarch64, and arguments."""
