"""Whole programs that read and write, without an entry point."""

from __future__ import annotations

from .tasks import ADD, ADD_MAIN, ADD_WRONG, STDIO_CHAT, STDIO_HASH, STDIO_QUOTED, Case

SOLVE = "def solve(a):\n    return sum(a)\n"
CALLS = "n = int(input())\nprint(solve(list(map(int, input().split()))))\n"
MAIN = "def main():\n    n = int(input())\n    print(sum(map(int, input().split())))\n"
CONSTANT = 'print("hello")\nfor i in range(3):\n    print(i)\n'
PYTHON2 = "n = int(raw_input())\nprint sum(map(int, raw_input().split()))\n"


def _chat(family: str, kind: str, response: str, program: str | None = ADD, ended: bool | None = True) -> Case:
    return Case(family, kind, response, program, STDIO_CHAT, None, ended)


def _base(family: str, kind: str, prompt: str, response: str, program: str | None, ended: bool | None = None) -> Case:
    return Case(family, kind, response, program, prompt, None, ended)


STDIO = [
    _chat("Qwen2.5-Coder", "one block", f"Here:\n```python\n{ADD}```\nDone."),
    _chat("Qwen2.5-Coder", "main", f"```python\n{ADD_MAIN}```", ADD_MAIN),
    _chat(
        "Qwen2.5-Coder",
        "snippet first",
        f"Reading:\n```python\nn = int(input())\n```\nThe program:\n```python\n{ADD}```\n",
    ),
    _chat(
        "Llama 3",
        "snippets after",
        f"```python\n{ADD}```\nReads n:\n```python\nn = int(input())\n```\nPrints:\n```python\nprint(sum(map(int, input().split())))\n```\n",
    ),
    _chat(
        "Llama 3",
        "a line explained after",
        f"```python\n{ADD_MAIN}```\nThe key line is\n```python\nprint(sum(rest[:n]))\n```\n",
        ADD_MAIN,
    ),
    _chat(
        "Llama 3",
        "reading explained after",
        f"```python\n{ADD_MAIN}```\nReading:\n```python\nn, *rest = map(int, sys.stdin.read().split())\n```\n",
        ADD_MAIN,
    ),
    _chat(
        "GPT", "sample input and output", f"```python\n{ADD}```\n\nInput:\n```\n3\n1 2 3\n```\nOutput:\n```\n6\n```\n"
    ),
    _chat("GPT", "sample input first", f"For\n```\n3\n1 2 3\n```\nthe answer is 6:\n```\n{ADD}```\n"),
    _chat("GPT", "output that parses", f"```python\n{ADD}```\n\n```\n6\n```\n"),
    _chat("Mistral", "how to run it", f"```python\n{ADD}```\n\n```bash\necho '3' | python add.py\n```\n"),
    _chat("Mistral", "how to run it, no info", f"```python\n{ADD}```\n\n```\n$ python add.py\n```\n"),
    _chat("Mistral", "shell without dollar", f"```\n{ADD}```\n\n```\npython add.py < input.txt\n```\n"),
    _chat(
        "DeepSeek-Coder",
        "wrong and longer, then corrected",
        f"```python\n{ADD_WRONG}```\nNo. Corrected:\n```python\n{ADD}```\n",
    ),
    _chat("DeepSeek-Coder", "right, then wrong", f"```python\n{ADD}```\nFaster:\n```python\n{ADD_WRONG}```\n", None),
    _chat(
        "DeepSeek-Coder",
        "right, then a syntax error",
        f"```python\n{ADD}```\nFaster:\n```python\nn = int(input()\nprint(n)\n```\n",
        None,
    ),
    _chat(
        "DeepSeek-Coder",
        "right, then cut off",
        f"```python\n{ADD}```\nFaster:\n```python\nimport sys\nprint(sum(sys.stdin.read(",
        None,
        False,
    ),
    _chat("Claude", "two ways", f"```python\n{ADD}```\nOr:\n```python\n{ADD_MAIN}```\n", ADD_MAIN),
    _chat(
        "Claude",
        "the function, then the program",
        f"```python\n{SOLVE}```\nAnd:\n```python\n{CALLS}```\n",
        SOLVE + CALLS,
    ),
    _chat(
        "Claude",
        "the program, then its function",
        f"```python\n{CALLS}```\nwith\n```python\n{SOLVE}```\n",
        SOLVE + CALLS,
    ),
    _chat(
        "Claude", "main, then its call", f"```python\n{MAIN}```\nCall it:\n```python\nmain()\n```\n", MAIN + "main()\n"
    ),
    _chat(
        "Claude",
        "the import apart",
        "```python\nimport sys\n```\n```python\nprint(sum(map(int, sys.stdin.read().split()[1:])))\n```\n",
        "import sys\nprint(sum(map(int, sys.stdin.read().split()[1:])))\n",
    ),
    _chat(
        "Kimi",
        "a test of it after",
        f"```python\n{ADD_MAIN}```\n\n```python\nassert sum([1, 2, 3]) == 6\n```\n",
        ADD_MAIN,
    ),
    _chat("Kimi", "C++ after", f"```python\n{ADD}```\n\n```cpp\nint main() {{ int n; std::cin >> n; }}\n```\n"),
    _chat(
        "Kimi",
        "open(0)",
        "```python\nn, *a = map(int, open(0).read().split())\nprint(sum(a))\n```\nFor example\n```python\nsum([1, 2, 3])\n```\n",
        "n, *a = map(int, open(0).read().split())\nprint(sum(a))\n",
    ),
    _chat(
        "Gemma 3",
        "input under another name",
        "```python\nimport sys\ninput = sys.stdin.readline\nn = int(input())\nprint(sum(map(int, input().split())))\n```\nThe sum:\n```python\ntotal = sum([1, 2])\nprint(total)\n```\n",
        "import sys\ninput = sys.stdin.readline\nn = int(input())\nprint(sum(map(int, input().split())))\n",
    ),
    _chat("Gemma 3", "no info", f"```\n{ADD}```\n"),
    _chat("Phi", "a program that reads nothing", f"```python\n{CONSTANT}```\nOutput:\n```\nhello\n```\n", CONSTANT),
    _chat("Phi", "unclosed", f"```python\n{ADD}", ADD, False),
    _chat("Granite", "Python 2", f"```python\n{PYTHON2}```\n", PYTHON2),
    _chat("Granite", "a draft, then Python 2", f"```python\n{ADD}```\nFor you:\n```python\n{PYTHON2}```\n", PYTHON2),
    _chat("SmolLM2", "no fence", ADD, ADD, False),
    _chat("SmolLM2", "no fence, prose around", f"Here is the program:\n\n{ADD}\nThis adds the numbers.\n", ADD),
    _chat("SmolLM2", "no fence, main", ADD_MAIN, ADD_MAIN, False),
    _base("StarCoder2", "after a docstring", STDIO_QUOTED, ADD, ADD),
    _base("StarCoder2", "after a comment", STDIO_HASH, ADD, ADD),
    _base("StarCoder2", "main after a comment", STDIO_HASH, ADD_MAIN, ADD_MAIN),
    _base("StarCoder2", "the next task", STDIO_QUOTED, f'{ADD}\n"""\nRead n. Print', ADD, True),
    _base("StarCoder2", "a file's end", STDIO_HASH, f"{ADD}<file_sep>import os\nprint(os)\n", ADD),
    _base("Qwen2.5-Coder", "a fence after a docstring", STDIO_QUOTED, f"```python\n{ADD}```\n", ADD, True),
    _base("Llama 3", "prose after", STDIO_HASH, f"{ADD}\nThe program reads n first.\n", ADD, True),
]
