"""One program in a fence, in the forms in which fences are written."""

from __future__ import annotations

import textwrap

from .tasks import BODY, CHAT, HEAD, METHOD_CHAT, RIGHT, TWO_SUM, Case

DOCUMENTED = f'''def top(xs):
    """Return the running maximum.

    ```
    top([1, 3, 2])
    ```
    """
{BODY}'''
TWICE_DOCUMENTED = f'''def top(xs):
    """Return the running maximum.

    ```python
    top([1, 3, 2])
    ```

    or:

```
top([])
```
    """
{BODY}'''
README = f'def top(xs):\n    readme = """\n```\ntop([1])\n```\n"""\n    assert "top" in readme\n{BODY}'
FORMATTED = f'def top(xs):\n    text = f"""```\n{{xs}}\n```"""\n    assert text\n{BODY}'
COMPARES = "def top(xs):\n    return [x if x > max(xs[: i + 1]) else max(xs[: i + 1]) for i, x in enumerate(xs)]\n"
LAMBDA = "top = lambda xs: [max(xs[: i + 1]) for i in range(len(xs))]\n"
COMMENTED = f"# ```\n# top([1, 3, 2])\n# ```\n{RIGHT}"


def _chat(family: str, kind: str, response: str, program: str | None = RIGHT, ended: bool | None = True) -> Case:
    return Case(family, kind, response, program, CHAT, "top", ended)


def _indented(code: str, by: str) -> str:
    return textwrap.indent(code, by)


FENCES = [
    _chat(
        "Qwen2.5-Coder",
        "prose around a fence",
        f"Certainly! Here it is:\n\n```python\n{RIGHT}```\n\n### Explanation\n\n1. It walks.",
    ),
    _chat(
        "Llama 3",
        "bold heading and list",
        f"**Running maximum**\n\n```python\n{RIGHT}```\n\n* `top` walks the list.\n* It keeps the maximum.",
    ),
    _chat("GPT", "python3", f"```python3\n{RIGHT}```"),
    _chat("Claude", "py", f"I'll keep the largest so far.\n\n```py\n{RIGHT}```\n\nThis is O(n²)."),
    _chat("Gemma 2", "no info", f"```\n{RIGHT}```\n\n**Explanation:**\n\n1. **`out = []`**: starts the list."),
    _chat("Phi", "capital info", f"```Python\n{RIGHT}```"),
    _chat("Mistral", "space before info", f"``` python\n{RIGHT}```"),
    _chat("Codestral", "attributes in braces", f"```{{.python}}\n{RIGHT}```"),
    _chat("Codestral", "class and number", f"```{{.python .numberLines}}\n{RIGHT}```"),
    _chat("Kimi", "a title", f'```python title="top.py"\n{RIGHT}```'),
    _chat("Claude", "a file name", f"```python:src/top.py\n{RIGHT}```"),
    _chat("DeepSeek-Coder", "a name after info", f"```python top.py\n{RIGHT}```"),
    _chat("Granite", "ipython", f"```ipython\n{RIGHT}```"),
    _chat("SmolLM2", "CRLF", f"```python\n{RIGHT}```\n".replace("\n", "\r\n")),
    _chat("Phi", "CR alone", f"```python\n{RIGHT}```\n".replace("\n", "\r")),
    _chat("GPT", "a byte order mark", f"\ufeff```python\n{RIGHT}```\n"),
    _chat("Kimi", "a byte order mark in the block", f"```python\n\ufeff{RIGHT}```\n"),
    _chat("Llama 3", "opening fence after words", f"Answer: ```python\n{RIGHT}```\n"),
    _chat("SmolLM2", "opening fence after a sentence", f"Here is the code. ```\n{RIGHT}```\nDone."),
    _chat("Claude", "four backticks", f"````python\n{RIGHT}````\n"),
    _chat("Claude", "four backticks around three in a docstring", f"````python\n{DOCUMENTED}````\n", DOCUMENTED),
    _chat("Gemma 3", "tildes", f"~~~python\n{RIGHT}~~~\n"),
    _chat("Granite", "tildes in which backticks stand", f"~~~python\n{DOCUMENTED}~~~\n", DOCUMENTED),
    _chat("Gemma 3", "a fence in the docstring", f"```python\n{DOCUMENTED}```\nIt walks.\n", DOCUMENTED),
    _chat(
        "Kimi",
        "fences in the docstring, with info and at column 0",
        f"```python\n{TWICE_DOCUMENTED}```\n",
        TWICE_DOCUMENTED,
    ),
    _chat("GPT", "a fence in a string", f"```python\n{README}```\n\n```\n[1, 3, 3]\n```\n", README),
    _chat("Qwen3", "a fence in comments", f"```python\n{COMMENTED}```\n", COMMENTED),
    _chat("Llama 3", "in a list item", f"1. Write it:\n\n   ```python\n{_indented(RIGHT, '   ')}   ```\n\n2. Done."),
    _chat("Llama 3", "in a list item by a tab", f"* Write it:\n\n\t```python\n{_indented(RIGHT, chr(9))}\t```\n"),
    _chat("Mistral", "fence as the item itself", f"- ```python\n{_indented(RIGHT, '  ')}  ```\n"),
    _chat("Phi", "indented fence, code at column 0", f"1. The code:\n    ```python\n{RIGHT}    ```\n"),
    _chat("Phi", "indented code, fence at column 0", f"```python\n{_indented(RIGHT, '    ')}```\n"),
    _chat("GPT", "a quotation", "> ```python\n" + "".join(f"> {line}\n" for line in RIGHT.splitlines()) + "> ```\n"),
    _chat("SmolLM2", "closing fence on the last line", f"```python\n{RIGHT.rstrip()}```\n"),
    _chat(
        "SmolLM2", "closing fence on the last line, and prose", f"```python\n{RIGHT.rstrip()}```\nIt's done.\n\nBye."
    ),
    _chat("SmolLM2", "words after the closing fence", f"```python\n{RIGHT}``` This walks the list.\n"),
    _chat("Qwen2.5-Coder", "unclosed", f"Sure:\n```python\n{RIGHT}", RIGHT, False),
    _chat("Qwen2.5-Coder", "cut off", f"Sure:\n```python\n{RIGHT[:-14]}", None, False),
    _chat("SmolLM2", "cut off in an example", f"```python\n{RIGHT}\nprint(top([1, 3", RIGHT),
    _chat(
        "SmolLM2",
        "cut off in tests",
        f"```python\n{RIGHT}\n# Tests\nassert top([]) == []\nassert top([1]) ==",
        f"{RIGHT}\n# Tests\nassert top([]) == []\n",
    ),
    _chat("SmolLM2", "cut off in a main program", f"```python\n{RIGHT}\n\ndef main():\n    for xs in ([1],", RIGHT),
    _chat("SmolLM2", "cut off in the function itself", f"```python\nimport math\n\n{RIGHT[:-14]}", None, False),
    _chat("Qwen2.5-Coder", "cut off in prose", f"```python\n{RIGHT}```\nThis walks the li"),
    _chat("StarCoder2", "unclosed, then prose", f"```python\n{RIGHT}\nThis function walks the list.", RIGHT),
    _chat("Mistral", "markdown in a fence", f"```markdown\n# Solution\n\n```python\n{RIGHT}```\n\nDone.\n```\n"),
    _chat("Claude", "markdown in a longer fence", f"````markdown\n# Solution\n\n```python\n{RIGHT}```\n````\n"),
    _chat("Code Llama", "[PYTHON]", f"[PYTHON]\n{RIGHT}[/PYTHON]\n[TESTS]\nassert top([1]) == [1]\n[/TESTS]"),
    _chat("Code Llama", "[PYTHON] on the lines of the code", f"[PYTHON]{RIGHT.rstrip()}[/PYTHON] Good luck!"),
    _chat("Code Llama", "[PYTHON] unclosed", f"[PYTHON]\n{RIGHT}", RIGHT, False),
    _chat("DeepSeek-R1", "<answer>", f"<answer>\n{RIGHT}</answer>"),
    _chat("DeepSeek-R1", "<answer> around a fence", f"<answer>\nHere:\n```python\n{RIGHT}```\n</answer>"),
    _chat(
        "DeepSeek-R1",
        "<answer> after a draft",
        f"```python\n{RIGHT}```\nNow final.\n<answer>```python\n{DOCUMENTED}```</answer>",
        DOCUMENTED,
    ),
    _chat("Granite", "<code>", f"<code>\n{RIGHT}</code>\nDone."),
    _chat("Granite", "<pre><code>", f'<pre><code class="language-python">{RIGHT}</code></pre>\nDone.'),
    _chat("Claude", "<solution>", f"<solution>\n```python\n{RIGHT}```\n</solution>"),
    _chat(
        "gpt-oss",
        "one line",
        "```python\ntop = lambda xs: [max(xs[: i + 1]) for i in range(len(xs))]\n```",
        "top = lambda xs: [max(xs[: i + 1]) for i in range(len(xs))]\n",
    ),
    _chat("Gemma 2", "blank lines", f"```python\n\n\n{RIGHT}\n\n```\n"),
    _chat("Gemma 2", "spaces after fences", f"```python   \n{RIGHT}```   \n"),
    _chat("Granite", "a method", "```python\n" + TWO_SUM + "```", None),
    Case("Qwen2.5-Coder", "a class", f"```python\n{TWO_SUM}```\n", TWO_SUM, METHOD_CHAT, "Solution.two_sum", True),
    _chat("Phi", "prefilled opening fence", f"{RIGHT}```\n\nThis walks the list.\n"),
    _chat("Phi", "prefilled opening fence, then usage", f"{RIGHT}```\n\nUsage:\n\n```python\nprint(top([1]))\n```\n"),
    Case(
        "Qwen2.5-Coder",
        "a prompt of code, whole in a fence",
        f"```python\n{HEAD}{BODY}```\n",
        HEAD + BODY,
        HEAD,
        "top",
        True,
    ),
    _chat("Mistral", "a program in Python 2", "```python\ndef top(xs):\n    print 'hi'\n    return xs\n```\n", None),
    _chat("Llama 3", "a syntax error", "```python\ndef top(xs:\n    return xs\n```\n", None),
    _chat("Kimi", "a null byte", f"```python\n{RIGHT}\0```\n", None, None),
    _chat("GPT", "nothing", "", None, None),
    _chat("GPT", "a refusal", "I can't help with that.", None, None),
    _chat("GPT", "an empty fence", "```python\n```\n", None, None),
    _chat("Gemma 3", "end token after the fence", f"```python\n{RIGHT}```<end_of_turn>\n"),
    _chat(
        "Llama 3",
        "end token and another turn",
        f"```python\n{RIGHT}```<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nNow:\n```python\n{RIGHT[:20]}```",
    ),
    _chat("Qwen2.5-Coder", "end token in an unclosed fence", f"```python\n{RIGHT.rstrip()}<|im_end|>\n", RIGHT, None),
    _chat("Llama 3", "start tokens", f"<|start_header_id|>assistant<|end_header_id|>\n\n```python\n{RIGHT}```"),
    _chat("Llama 3", "<|python_tag|>", f"<|python_tag|>{RIGHT}<|eom_id|>", RIGHT, None),
    _chat("SmolLM2", "code on the fence's line", "```python def top(xs):\n" + BODY + "```"),
    _chat(
        "SmolLM2",
        "a fence on one line",
        "```python top = lambda xs: [max(xs[: i + 1]) for i in range(len(xs))]```",
        LAMBDA,
    ),
    _chat("SmolLM2", "an inline name before the fence", f"Use `top`: ```python\n{RIGHT}```"),
    _chat(
        "Granite", "<pre><code> with entities", f"<pre><code>{COMPARES.replace('>', '&gt;')}</code></pre>", COMPARES
    ),
    _chat("Kimi", "a fence in an f-string", f"```python\n{FORMATTED}```", FORMATTED),
    _chat("Kimi", "a longer closing fence", f"```python\n{RIGHT}`````\n"),
]
