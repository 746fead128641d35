"""The sandbox by itself: run programs that nobody trusts, and learn what happened.

Run it: `python examples/sandbox_alone.py`.
"""

from rrtf_trl.records import AssertTests
from rrtf_trl.sandbox import Job, Sandbox, describe_isolation

TESTS = AssertTests(["assert square(3) == 9", "assert square(-2) == 4"])
PROGRAMS = {
    "right": "def square(x):\n    return x * x\n",
    "wrong for negatives": "def square(x):\n    return x * abs(x)\n",
    "endless": "def square(x):\n    while True:\n        pass\n",
    "ends early": "import os\nos._exit(0)\n",
    "equals everything": "class Any:\n    def __eq__(self, other): return True\ndef square(x):\n    return Any()\n",
    "reads files": "def square(x):\n    return open('/etc/passwd').read()\n",
    "no program": "def square(x:\n",
}


def main() -> None:
    """Run them all, and print each verdict."""
    print(describe_isolation())
    jobs = [Job(job_id=name, code=code, tests=TESTS, entry_point="square") for name, code in PROGRAMS.items()]
    with Sandbox(workers=2, timeout=1.0, memory_mb=256) as sandbox:
        for outcome in sandbox.run_many(jobs):  # in the order in which they finish
            print(f"{outcome.job_id}: {outcome.state}, {outcome.passed} of {outcome.total} tests. {outcome.message}")


if __name__ == "__main__":
    main()
