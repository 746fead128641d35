"""Runs untrusted, model-written programs against tests and says what happened. Knows nothing of scores.

::

    from rrtf_trl.sandbox import Job, Sandbox

    with Sandbox(workers=2, timeout=5.0) as sandbox:
        for outcome in sandbox.run_many(jobs):   # streams, in constant memory
            print(outcome.job_id, outcome.state, outcome.passed, outcome.total, outcome.message)

The verdict belongs to a process that never runs the program; the process that runs it never sees a test or an
expected value. Between them only plain data crosses (:mod:`.codec`), and equality is decided on the judge's
side. So a program cannot pass by exiting early, by patching built-ins, by objects that equal everything, or
by writing to any descriptor: all it can do is answer calls.

::

    caller      pool.py        jobs in, outcomes out; may have threads and torch loaded, and is never forked
    worker      judge.py       one a processor: takes a job, supervises it, answers exactly once
      tests     verdicts.py    forked for each job: runs the trusted tests, compares, decides
                session.py     its end of the channel to the program; trusts no byte
      server    forkserver.py  behind the walls (isolation.py, seccomp.py): forks a warm child a program
        program guest.py       runs the program, answers calls

What it does not cover:

- Without namespaces (see ``describe_isolation``) a program can read every file that its user can read,
  benchmark answers included. With them it sees Python, the system's libraries and installed packages only.
- Without namespaces, and on a processor that the system call filter does not know (not x86_64 or aarch64),
  only limits hold: a program can then signal and write whatever its user can. The outcome's ``isolation``
  says so: it names neither ``namespaces`` nor ``seccomp``.
- Memory is limited per process (address space), not over all processes and threads of a program, of which
  there are at most 64 (for real root without ``nobody``, and without namespaces, there is no such count).
- A hole in the kernel is a hole in the sandbox: the system call filter is a list of denials, not an
  allow-list.
- Timing and processor load can be observed, and a program may learn from the arguments of earlier calls.
- Calls are by value: a test that looks at an argument that the program changed in place, passes a function,
  or needs an object of the program's own class does not work. Such tests fail or are ``refused``.
- A name that ``asserts`` use and only the program defines is the program's word: where a test compares by
  a helper that it expects to find in the program, a lying helper passes. ``setup`` should define or import it.
- Tests, ``setup`` and ``context`` are trusted: they run with the caller's rights.
- Linux only. pytest files are not run yet.
"""

from __future__ import annotations

from .describe import describe_isolation
from .pool import Job, Outcome, OutcomeState, Sandbox, check_job

__all__ = ["Job", "Outcome", "OutcomeState", "Sandbox", "check_job", "describe_isolation"]
