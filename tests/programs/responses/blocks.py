"""Several blocks: which of them is the program, and what it needs of the others."""

from __future__ import annotations

from .tasks import (
    ACCUMULATE,
    BODY,
    CHAT,
    HEAD,
    METHOD_CHAT,
    PROSE,
    RIGHT,
    SHORT,
    TWO_SUM,
    TYPED,
    WRONG,
    Case,
)

STUB = 'def top(xs):\n    """Return the running maximum."""\n    pass\n'
ELLIPSIS = "def top(xs): ...\n"
RAISES = "def top(xs):\n    raise NotImplementedError('yours')\n"
HELPER = "def larger(a, b):\n    return a if a > b else b\n"
USES_HELPER = "def top(xs):\n    return [larger(x, max(xs[: i + 1])) for i, x in enumerate(xs)]\n"
NEEDS_IMPORT = "def top(xs):\n    return list(accumulate(xs, max))\n"
TRIED = "try:\n    from itertools import accumulate\nexcept ImportError:\n    accumulate = None\n"
LAMBDA = "top = lambda xs: list(accumulate(xs, max))\n"
GUARDED = "try:\n    from itertools import accumulate\n\n    def top(xs):\n        return list(accumulate(xs, max))\nexcept ImportError:\n    def top(xs):\n        return []\n"
TEST = "import unittest\nfrom solution import top\n\nclass Test(unittest.TestCase):\n    def test(self):\n        self.assertEqual(top([]), [])\n"
WRONG_METHOD = "class Solution:\n    def two_sum(self, xs, t):\n        return []\n"


def _chat(family: str, kind: str, response: str, program: str | None = RIGHT, ended: bool | None = True) -> Case:
    return Case(family, kind, response, program, CHAT, "top", ended)


def _method(family: str, kind: str, response: str, program: str | None) -> Case:
    return Case(family, kind, response, program, METHOD_CHAT, "Solution.two_sum", True)


def _blocks(*blocks: str, info: str = "python") -> str:
    return "\n".join(f"Step {i}:\n\n```{info}\n{block}```\n" for i, block in enumerate(blocks, 1))


BLOCKS = [
    _chat(
        "Qwen2.5-Coder",
        "imports, then the function",
        _blocks("from itertools import accumulate\n", NEEDS_IMPORT),
        "from itertools import accumulate\n" + NEEDS_IMPORT,
    ),
    _chat(
        "Qwen2.5-Coder",
        "imports without info",
        _blocks("from itertools import accumulate\n", NEEDS_IMPORT, info=""),
        "from itertools import accumulate\n" + NEEDS_IMPORT,
    ),
    _chat(
        "Qwen2.5-Coder",
        "imports of which one is needed",
        _blocks("import os\nfrom itertools import accumulate\n", NEEDS_IMPORT),
        "from itertools import accumulate\n" + NEEDS_IMPORT,
    ),
    _chat(
        "Qwen2.5-Coder",
        "imports after the function",
        _blocks(NEEDS_IMPORT, "from itertools import accumulate\n"),
        "from itertools import accumulate\n" + NEEDS_IMPORT,
    ),
    _chat("Llama 3", "helper, then the function", _blocks(HELPER, USES_HELPER), HELPER + USES_HELPER),
    _chat("Llama 3", "function, then helper", _blocks(USES_HELPER, HELPER), HELPER + USES_HELPER),
    _chat(
        "Llama 3",
        "helper with its test",
        _blocks(HELPER + "\nassert larger(1, 2) == 2\nprint('fine')\n", USES_HELPER),
        HELPER + USES_HELPER,
    ),
    _chat(
        "Kimi",
        "helper that needs an import",
        _blocks("import operator\n", "def larger(a, b):\n    return a if operator.gt(a, b) else b\n", USES_HELPER),
        "import operator\ndef larger(a, b):\n    return a if operator.gt(a, b) else b\n" + USES_HELPER,
    ),
    _chat(
        "Kimi",
        "helper in two versions",
        _blocks("def larger(a, b):\n    return b\n", HELPER, USES_HELPER),
        HELPER + USES_HELPER,
    ),
    _chat(
        "Claude",
        "a constant in another block",
        _blocks(
            "EMPTY = []\n",
            "def top(xs):\n    out = list(EMPTY)\n    for x in xs:\n        out.append(max(out[-1:] + [x]))\n    return out\n",
        ),
        "EMPTY = []\ndef top(xs):\n    out = list(EMPTY)\n    for x in xs:\n        out.append(max(out[-1:] + [x]))\n    return out\n",
    ),
    _chat(
        "Claude",
        "future import in the function's block",
        _blocks("from itertools import accumulate\n", "from __future__ import annotations\n" + NEEDS_IMPORT),
        "from __future__ import annotations\nfrom itertools import accumulate\n" + NEEDS_IMPORT,
    ),
    _chat(
        "DeepSeek-Coder",
        "wrong, then corrected",
        f"First:\n```python\n{WRONG}```\nThat is wrong. Corrected:\n```python\n{RIGHT}```\n",
    ),
    _chat("DeepSeek-Coder", "right, then wrong", f"```python\n{RIGHT}```\nSimpler:\n```python\n{WRONG}```\n", None),
    _chat(
        "DeepSeek-Coder",
        "right, then a syntax error",
        f"```python\n{RIGHT}```\nSimpler:\n```python\ndef top(xs)\n    return xs\n```\n",
        None,
    ),
    _chat(
        "DeepSeek-Coder",
        "right, then one that is cut off",
        f"```python\n{RIGHT}```\nSimpler:\n```python\ndef top(xs):\n    return [max(xs[",
        None,
        False,
    ),
    _chat("Claude", "two ways, both right", _blocks(RIGHT, ACCUMULATE), ACCUMULATE),
    _chat("GPT", "usage after", _blocks(RIGHT, "print(top([1, 3, 2]))  # [1, 3, 3]\n")),
    _chat(
        "GPT",
        "usage that imports",
        _blocks(RIGHT, "from solution import top\n\nresult = top([1, 3, 2])\nprint(result)\n"),
    ),
    _chat(
        "GPT", "usage that assigns", _blocks(RIGHT, "top_values = top([1, 3, 2])\nassert top_values == [1, 3, 3]\n")
    ),
    _chat("GPT", "usage that assigns to its name", _blocks(RIGHT, "top = top([1, 3, 2])\nprint(top)\n")),
    _chat("GPT", "usage before", _blocks("print(top([1, 3, 2]))\n", RIGHT)),
    _chat("GPT", "tests after", _blocks(RIGHT, TEST)),
    _chat("GPT", "tests of pytest after", _blocks(RIGHT, "def test_top():\n    assert top([]) == []\n")),
    _chat("Gemma 3", "output after", f"```python\n{RIGHT}```\nOutput:\n```\n[1, 3, 3]\n```\n"),
    _chat("Gemma 3", "doctests after", f"```python\n{RIGHT}```\n\n```python\n>>> top([1, 3, 2])\n[1, 3, 3]\n```\n"),
    _chat(
        "Gemma 3",
        "a session that defines",
        f"```python\n{RIGHT}```\n\n```pycon\n>>> def top(xs):\n...     return xs\n>>> top([])\n[]\n```\n",
    ),
    _chat("Mistral", "shell before", f"```bash\npip install numpy\n```\n\n```python\n{RIGHT}```\n"),
    _chat("Mistral", "shell after", f"```python\n{RIGHT}```\n\n```bash\npython top.py\n```\n"),
    _chat("Mistral", "shell without info", f"```python\n{RIGHT}```\n\n```\n$ python top.py\n[1, 3, 3]\n```\n"),
    _chat(
        "Kimi",
        "another language after",
        f"```python\n{RIGHT}```\n\nIn Ruby:\n\n```ruby\ndef top(xs)\n  xs\nend\n```\n",
    ),
    _chat(
        "Kimi",
        "another language before",
        f"```javascript\nfunction top(xs) {{ return xs; }}\n```\n\n```python\n{RIGHT}```\n",
    ),
    _chat("Kimi", "JSON after", f'```python\n{RIGHT}```\n\n```json\n{{"top": [1, 3, 3]}}\n```\n'),
    _chat("Phi", "stub before", _blocks(STUB, RIGHT)),
    _chat("Phi", "stub after", _blocks(RIGHT, STUB)),
    _chat("Phi", "ellipsis after", _blocks(RIGHT, ELLIPSIS)),
    _chat("Phi", "NotImplementedError after", _blocks(RIGHT, RAISES)),
    _chat("Phi", "signature alone after", _blocks(RIGHT, "def top(xs: list[int]) -> list[int]:\n")),
    _chat("Phi", "signature without colon after", _blocks(RIGHT, "def top(xs)\n")),
    _chat("Phi", "a stub alone", _blocks(STUB), None),
    _chat(
        "Qwen3",
        "lines of the function explained",
        _blocks(RIGHT, "out = []\n", "for x in xs:\n    out.append(max(out[-1:] + [x]))\n", "return out\n"),
    ),
    _chat(
        "gpt-oss",
        "lambda",
        _blocks("from itertools import accumulate\n" + LAMBDA),
        "from itertools import accumulate\n" + LAMBDA,
    ),
    _chat(
        "gpt-oss",
        "lambda, import elsewhere",
        _blocks("from itertools import accumulate\n", LAMBDA),
        "from itertools import accumulate\n" + LAMBDA,
    ),
    _chat(
        "gpt-oss",
        "lambda after a wrong def",
        _blocks(WRONG, "from itertools import accumulate\n" + LAMBDA),
        "from itertools import accumulate\n" + LAMBDA,
    ),
    _chat(
        "gpt-oss",
        "partial",
        _blocks(
            "from functools import partial\n\ndef walk(f, xs):\n    return [f(xs[: i + 1]) for i in range(len(xs))]\n\ntop = partial(walk, max)\n",
            "top([1, 3, 2])\n",
        ),
        "from functools import partial\n\ndef walk(f, xs):\n    return [f(xs[: i + 1]) for i in range(len(xs))]\n\ntop = partial(walk, max)\n",
    ),
    _chat(
        "gpt-oss",
        "annotated assignment",
        _blocks(
            "from typing import Callable\nfrom itertools import accumulate\ntop: Callable = lambda xs: list(accumulate(xs, max))\n",
            "print(top([]))\n",
        ),
        "from typing import Callable\nfrom itertools import accumulate\ntop: Callable = lambda xs: list(accumulate(xs, max))\n",
    ),
    _chat(
        "gpt-oss",
        "alias",
        _blocks("def running(xs):\n" + BODY + "\ntop = running\n", "print(top([]))\n"),
        "def running(xs):\n" + BODY + "\ntop = running\n",
    ),
    _chat("Claude", "in a try", _blocks(GUARDED, "print(top([]))\n"), GUARDED),
    _chat(
        "Claude",
        "in an if",
        _blocks(
            "if True:\n    from itertools import accumulate\n    def top(xs):\n        return list(accumulate(xs, max))\n",
            "top([1])\n",
        ),
        "if True:\n    from itertools import accumulate\n    def top(xs):\n        return list(accumulate(xs, max))\n",
    ),
    _chat(
        "Claude",
        "decorated",
        _blocks(
            "import functools\n",
            "@functools.lru_cache(None)\ndef best(xs):\n    return max(xs)\n\ndef top(xs):\n    return [best(tuple(xs[: i + 1])) for i in range(len(xs))]\n",
        ),
        "import functools\n@functools.lru_cache(None)\ndef best(xs):\n    return max(xs)\n\ndef top(xs):\n    return [best(tuple(xs[: i + 1])) for i in range(len(xs))]\n",
    ),
    _chat("Llama 3", "the name within another", _blocks(RIGHT, "def top_two(xs):\n    return sorted(top(xs))[-2:]\n")),
    _chat(
        "Llama 3",
        "a variable of the name within a function",
        _blocks(RIGHT, "def main():\n    top = 3\n    print(top)\n"),
    ),
    _chat(
        "Granite",
        "a class of the name",
        _blocks(
            "class top(list):\n    def __init__(self, xs):\n        for i, _ in enumerate(xs):\n            self.append(max(xs[: i + 1]))\n",
            "list(top([1]))\n",
        ),
        "class top(list):\n    def __init__(self, xs):\n        for i, _ in enumerate(xs):\n            self.append(max(xs[: i + 1]))\n",
    ),
    _chat("SmolLM2", "the same again and again", _blocks(RIGHT, RIGHT, RIGHT)),
    _chat("SmolLM2", "no python info, then python", f"```\n{WRONG}```\n\n```python\n{SHORT}```\n", SHORT),
    _chat("SmolLM2", "unclosed, then another", f"```python\n{WRONG}\nThat is wrong:\n\n```python\n{RIGHT}```\n"),
    Case(
        "GPT",
        "a prompt in prose",
        _blocks("from itertools import accumulate\n", NEEDS_IMPORT),
        "from itertools import accumulate\n" + NEEDS_IMPORT,
        PROSE,
        "top",
        True,
    ),
    Case(
        "Qwen2.5-Coder",
        "a prompt of code, imports apart",
        _blocks(
            "from itertools import accumulate\n",
            "def top(xs: List[int]) -> List[int]:\n    return list(accumulate(xs, max))\n",
        ),
        "from typing import List\nfrom itertools import accumulate\ndef top(xs: List[int]) -> List[int]:\n    return list(accumulate(xs, max))\n",
        HEAD,
        "top",
        True,
    ),
    Case(
        "Qwen2.5-Coder",
        "a prompt of code, usage after",
        _blocks(TYPED, "print(top([1]))\n"),
        "from typing import List\n" + TYPED,
        HEAD,
        "top",
        True,
    ),
    _method(
        "Qwen2.5-Coder", "a class, then usage", _blocks(TWO_SUM, "print(Solution().two_sum([1, 2], 3))\n"), TWO_SUM
    ),
    _method("Qwen2.5-Coder", "a class corrected", _blocks(WRONG_METHOD, TWO_SUM), TWO_SUM),
    _method(
        "Llama 3",
        "a class's stub after",
        _blocks(TWO_SUM, "class Solution:\n    def two_sum(self, xs, t):\n        pass\n"),
        TWO_SUM,
    ),
    _method(
        "Llama 3",
        "a class without the method after",
        _blocks(TWO_SUM, "class Solution:\n    def other(self):\n        return 1\n"),
        TWO_SUM,
    ),
    _method(
        "Claude",
        "the import apart",
        _blocks("from typing import List\n", TWO_SUM.replace("xs, t", "xs: List[int], t")),
        "from typing import List\n" + TWO_SUM.replace("xs, t", "xs: List[int], t"),
    ),
    _method("Claude", "right, then wrong", _blocks(TWO_SUM, WRONG_METHOD), None),
    _method(
        "DeepSeek-Coder",
        "the method explained",
        _blocks(TWO_SUM, "seen = {}\n", "for i, x in enumerate(xs):\n    pass\n"),
        TWO_SUM,
    ),
    _method("Gemma 3", "a function by the method's name", _blocks("def two_sum(xs, t):\n    return [0, 1]\n"), None),
    _chat(
        "Kimi",
        "an import of all",
        _blocks("from itertools import *\n", NEEDS_IMPORT),
        "from itertools import *\n" + NEEDS_IMPORT,
    ),
    _chat("Kimi", "an import in a try", _blocks(TRIED, NEEDS_IMPORT), TRIED + NEEDS_IMPORT),
    _chat("GPT", "the name set to nothing after", _blocks(RIGHT, "top = None\n")),
    _chat("GPT", "a call under __main__ after", _blocks(RIGHT, "if __name__ == '__main__':\n    print(top([1]))\n")),
    _chat("GPT", "a wrong lambda after", _blocks(RIGHT, "top = lambda xs: xs[:1]\n"), None),
]
