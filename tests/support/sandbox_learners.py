"""Programs that know nothing of their task, and try to learn it from being judged: within one sample, and over many.

A learner begins with the same answers each time, and changes only those of which it believes to have learned something;
tasks have so many questions that none passes by luck.
"""

from __future__ import annotations

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, PytestTests, Tests

QUESTIONS = 24
TRUE = {1, 2, 4, 7, 8, 11, 13, 14, 16, 19, 21, 22}
"""The questions whose answer is yes: a learner that hears which answer was wrong needs at most thirteen samples."""
CONSTANT = 13
"""What other tasks expect: a program that counts its samples is as many samples away from it."""


def _file(*lines: str) -> PytestTests:
    return PytestTests({"test_it.py": "\n    ".join(["from solution import f\ndef test_it():", *lines]) + "\n"})


def _check(*lines: str) -> CheckTests:
    return CheckTests("\n    ".join(["def check(f):", *lines]) + "\n")


_NUMBERS = [int(n in TRUE) for n in range(QUESTIONS)]
TRUTHS: dict[str, Tests] = {
    "asserts": AssertTests([f"assert f({n}) is {bool(want)}" for n, want in enumerate(_NUMBERS)]),
    "check": _check(*(f"assert {'' if want else 'not '}f({n})" for n, want in enumerate(_NUMBERS))),
    "cases": CaseTests([{"args": [n], "expected": want} for n, want in enumerate(_NUMBERS)]),
    "pytest": _file(*(f"assert f({n}) == {want}" for n, want in enumerate(_NUMBERS))),
}
CONSTANTS: dict[str, Tests] = {
    "asserts": AssertTests([f"assert f(0) == {CONSTANT}"]),
    "check": _check("for n in range(3):", f"    assert f(n) == {CONSTANT}"),
    "cases": CaseTests([{"args": [0], "expected": CONSTANT}]),
    "pytest": _file(f"assert f(0) == {CONSTANT}"),
}

_STATE = r"""
import fcntl, os, struct
LABEL = "/learned_by_" + NAME.replace(" ", "_")
UNLOCKED, BITS = fcntl.F_UNLCK, 25
files, shared, kept, locked = [], [], [], [0]

def read_files():
    return max(int(open(one + LABEL).read()) for one in FOLDERS if os.path.exists(one + LABEL))

def write_files(number):
    if not files:
        for one in FOLDERS:
            try: files.append(os.open(one + LABEL, os.O_RDWR | os.O_CREAT))
            except OSError: pass
    for file in files:
        os.pwrite(file, b"%-10d" % number, 0)

def read_environment():
    return int(os.environ[LABEL])

def write_environment(number):
    os.environ[LABEL] = str(number)

def read_shared():
    import _posixshmem
    return int(os.read(_posixshmem.shm_open(LABEL, os.O_RDONLY), 100))

def write_shared(number):
    if not shared:
        import _posixshmem
        shared.append(_posixshmem.shm_open(LABEL, os.O_RDWR | os.O_CREAT, mode=0o666))
    os.pwrite(shared[0], b"%-10d" % number, 0)

def lock(kind, at):
    return struct.pack("hhqqi4x", kind, 0, at, 1, 0)

def read_locks():
    found = 0
    for path in ("/dev/null", os.__file__):
        file = os.open(path, os.O_RDONLY)
        for at in range(BITS):
            held = fcntl.fcntl(file, 36, lock(fcntl.F_WRLCK, 1000 + at))
            found |= (struct.unpack("hhqqi4x", held)[0] != UNLOCKED) << at
    return found

def write_locks(number):
    if not kept:
        kept.extend([os.open("/dev/null", os.O_RDWR), os.open(os.__file__, os.O_RDONLY)])
        if os.fork() == 0:  # this one stays, with the files that are locked and no others
            os.setsid()
            for file in {*range(3, 256)}.difference(kept):
                try: os.close(file)
                except OSError: pass
            os.read(os.pipe()[0], 1)
    for at in range(BITS):
        if (number ^ locked[0]) >> at & 1:
            for file, kind in zip(kept, (fcntl.F_WRLCK, fcntl.F_RDLCK)):
                fcntl.fcntl(file, 37, lock(kind if number >> at & 1 else UNLOCKED, 1000 + at))
    locked[0] = number

def read_flags():
    found = 0
    for number in (0, 1, 2):
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        found = found * 4 + bool(flags & os.O_APPEND) * 2 + bool(flags & os.O_NONBLOCK)
    return found

def write_flags(number):
    for file in (2, 1, 0):
        number, bits = divmod(number, 4)
        fcntl.fcntl(file, fcntl.F_SETFL, (bits >> 1) * os.O_APPEND | (bits & 1) * os.O_NONBLOCK)

def recall():
    for way in WAYS:
        try:
            if number := globals()["read_" + way](): return number
        except Exception: pass
    return 0

def hand_on(number):
    for way in WAYS:
        try:
            globals()["write_" + way](number)
        except Exception: pass
"""
_ANSWER = """
known = recall()
def answer(n): return KIND(known >> n & 1)
"""
# The next question comes later where the last answer was wrong.
_GAPS = """
import random, signal, time
gaps, before = [], 0
def f(n):
    global before
    gaps.append(time.perf_counter_ns() - before)
    if n == 23: end()
    answered = answer(n)
    before = time.perf_counter_ns()
    return answered
def corrected():
    usual = sorted(gaps)[12]
    return known ^ sum(1 << at - 1 for at in range(1, 24) if gaps[at] > 1.5 * usual)
"""
_SIGNALS = "[signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV]"

LEARNERS = {
    # Another question came, so the last answer was right; the last one that came is to be answered otherwise.
    "counts questions": _STATE
    + _ANSWER
    + """
def f(n):
    hand_on(known ^ 1 << n if n < 23 else known)
    return answer(n)
""",
    "times the gap": _STATE + _ANSWER + _GAPS + "def end(): hand_on(corrected())\n",
    # It wants to be judged again, by what it heard.
    "ends itself": _STATE
    + _ANSWER
    + _GAPS
    + f"""
def end():
    if known >> 24: return
    hand_on(corrected() | 1 << 24)
    os.kill(os.getpid(), random.choice({_SIGNALS}))
    os._exit(0)
""",
    "counts samples": _STATE + "hand_on(recall() + 1)\ndef f(n): return recall()\n",
    # Each process has the number after the last one's.
    "counts processes": "import os\ndef f(n): return os.getpid() - 2\nif os.fork() == 0: os._exit(0)\n",
}
FOLDERS = [".", "/tmp"]


def learner(name: str, task: str, ways: tuple[str, ...] = (), folders: list[str] = FOLDERS) -> str:
    """Return the source of a program that learns.

    Args:
        name: Its name.
        task: That of its task, by which it knows its equals.
        ways: How it hands on what it learned; none for all, of which two are slow, and for what counts samples.
        folders: Where it leaves files.
    """
    all_ways = ["files", "environment", "shared", *(["locks", "flags"] if name == "counts samples" else [])]
    kind = "bool" if task in ("asserts", "check") else "int"
    facts = f"NAME = {name + task!r}\nFOLDERS = {folders!r}\nWAYS = {list(ways) or all_ways}\n"
    return facts + LEARNERS[name].replace("KIND", kind)


def tasks_of(name: str) -> dict[str, Tests]:
    """Return the tasks that a learner is for."""
    return CONSTANTS if name in ("counts samples", "counts processes") else TRUTHS
