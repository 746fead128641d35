"""What the fork server does to its heap before it forks, in a process of its own."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

_COUNT_FAULTS = """
import ctypes, gc, os, random, resource, sys
from rrtf_trl.sandbox.isolation import linux

chance = random.Random(0)
kept = [bytes(chance.randrange(4000)) for _ in range(20000)]
chance.shuffle(kept)
del kept[:10000]  # holes all over the heap, between what stays
gc.collect()
if sys.argv[1] == "tidy":
    linux.tidy_heap()
gc.freeze()
child = os.fork()
if child == 0:
    made = [bytes(size) for size in range(0, 4000, 10)]
    os._exit(0)
print(os.wait4(child, 0)[2].ru_minflt)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_what_a_child_allocates_lies_together_once_the_heap_is_tidy() -> None:
    def page_faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", _COUNT_FAULTS, how], capture_output=True, check=True, text=True)
        return int(done.stdout)

    # 800 kB in 400 objects are 200 pages, some 200 more are what any process does; each hole costs a page or two.
    assert page_faults("tidy") < page_faults("untidy") / 2
