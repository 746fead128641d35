"""Warms the fork server's interpreter up, so that programs change few of the memory pages that they inherit.

What a process does for the first time changes pages that it shares with its siblings: it fills caches of attributes,
specialises bytecode, binds symbols. A child needs a copy of each such page. So the fork server first runs a few
harmless programs by the code that its children will run, until no page changes any more.
"""

from __future__ import annotations

import binascii
import json
import marshal
import socket
import sys

from ..common import codec, protocol
from . import program

_ROUNDS = 20
"""Bytecode is specialised after eight runs, and again where types differ."""
_TESTS = (
    '_rrtf_see(0, False, strings("abc def", 2))',
    "_rrtf_see(1, False, numbers(_rrtf_0, 1.5))",
    "_rrtf_see(2, False, numbers([], 0.5))",
    '_rrtf_see(3, False, tables(_rrtf_1, "b"))',
    "_rrtf_see(4, False, fails(1))",
    "_rrtf_see(5, True, _rrtf_apply((1, False, False), None, Holder().add(1)))",
)
_VALUES = [[3, 1, 2], {"a": 1, "b": 2}]
_PROGRAM = '''
from typing import List, Dict, Optional, Tuple, Any
import math
import re
import collections


def strings(text: str, count: int) -> str:
    """ Words of a text.
    >>> strings("abc", 2)
    'abc'
    """
    result = ""
    for i, char in enumerate(text):
        if char in "aeiou" or (char.isupper() and i % 2 == 0):
            result += char.lower()
        elif not char.isspace():
            result = result + chr((ord(char) - ord("a") + count) % 26 + ord("a"))
    words = [word[::-1] for word in text.split(" ") if len(word) > 1]
    return " ".join(sorted(words, key=lambda word: (-len(word), word))) + result.strip().replace("a", "b")


def numbers(values: List[float], bound: float) -> Tuple[Optional[float], List[float]]:
    def inner(n):
        if n < 2:
            return n
        return inner(n - 1) + inner(n - 2)

    total, best = 0, None
    for a in range(len(values)):
        for b in range(a + 1, len(values)):
            if abs(values[a] - values[b]) < bound:
                total += values[a] * values[b]
                best = max(best, total) if best is not None else total
    i = 0
    while i < 5:
        total = total + inner(i) // 2
        i += 1
    return best, sorted([float(v) ** 2 for v in values if v > 0], reverse=True)


def tables(table: Dict[str, int], name: str) -> Any:
    found = {key: value for key, value in table.items() if key != name}
    counts = collections.Counter(name)
    if not found or name == "":
        return None
    found[name] = math.floor(sum(found.values()) / len(found))
    return all(isinstance(value, int) for value in found.values()), set(found), counts["b"]


def fails(value):
    raise ValueError(f"not {value}")


class Holder:
    def __init__(self, items=None):
        self.items = items or []

    def add(self, item):
        self.items.append(item)
        return self
'''


def warm_up() -> None:
    """Run programs as children do, but in this process."""
    units = [(compile(text, "<tests>", "exec"), index % 2 == 0) for index, text in enumerate(_TESTS)]
    script = binascii.b2a_base64(marshal.dumps((units, _VALUES, codec.dump([])))).decode("ascii")
    for _ in range(_ROUNDS):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            judge, candidate = protocol.Channel(ours), protocol.Channel(theirs)
            request = {"id": 1, "names": ["strings", "Holder", "none"], "script": script, "code": _PROGRAM}
            judge.send(json.dumps(request).encode("ascii"))
            program.serve(candidate, codec.parse(candidate.receive(protocol.MAX_JOB_FRAME)))
    sys.modules.pop("solution", None)
