"""Reasoning models: thoughts, then the answer; and the tokens of chat templates."""

from __future__ import annotations

from .tasks import ADD, ADD_WRONG, BODY, CHAT, HEAD, RIGHT, STDIO_CHAT, WRONG, Case

DRAFT = f"Perhaps\n```python\n{WRONG}```\nNo, that is wrong. It's `max` so far.\n"
OPEN_DRAFT = f"Perhaps\n```python\n{WRONG}\nNo, that is wrong.\n"
ANSWER = f"```python\n{RIGHT}```\n"
MARKED = f'def top(xs):\n    """Not to be confused with\n</think>\n    or <think>.\n    """\n{BODY}'
SPLITS = (
    'def top(xs):\n    assert "a</think>b".split("</think>") == ["a", "b"]\n    assert "[THINK]" and "<|im_end|>"\n'
    + BODY
)


def _chat(family: str, kind: str, response: str, program: str | None = RIGHT) -> Case:
    return Case(family, kind, response, program, CHAT)


THOUGHTS = [
    _chat("Qwen3", "<think>", f"<think>\n{DRAFT}</think>\n\n{ANSWER}"),
    _chat("Qwen3", "empty thoughts", f"<think>\n\n</think>\n\n{ANSWER}"),
    _chat("Qwen3", "no thoughts", ANSWER),
    _chat("Qwen3", "unclosed", f"<think>\n{DRAFT}", None),
    _chat("DeepSeek-R1", "opened by the template", f"{DRAFT}</think>\n\n{ANSWER}"),
    _chat(
        "DeepSeek-R1",
        "opened by the template, closed within a line",
        f"{DRAFT}So I am sure.</think>This is it:\n{ANSWER}",
    ),
    _chat("DeepSeek-R1", "an unclosed fence in the thoughts", f"<think>{OPEN_DRAFT}</think>\n{ANSWER}"),
    _chat("DeepSeek-R1", "an unclosed fence in thoughts of the template", f"{OPEN_DRAFT}</think>\n{ANSWER}"),
    _chat("DeepSeek-R1", "no answer after the thoughts", f"<think>\n{ANSWER}</think>", None),
    _chat("DeepSeek-R1", "<think>, then <answer>", f"<think>{DRAFT}</think>\n<answer>\n{ANSWER}</answer>"),
    _chat("DeepSeek-R1", "plain code after", f"<think>\n{DRAFT}</think>\n\n{RIGHT}"),
    _chat("QwQ", "thoughts twice", f"<think>\n{DRAFT}</think>\nHm.\n<think>\n{DRAFT}</think>\n{ANSWER}"),
    _chat("QwQ", "thoughts after the answer", f"<think>a</think>{ANSWER}<think>{DRAFT}</think>"),
    _chat("QwQ", "upper case", f"<Think>\n{DRAFT}</Think>\n{ANSWER}"),
    _chat("Claude", "<thinking>", f"<thinking>\n{DRAFT}</thinking>\n\n{ANSWER}"),
    _chat("Claude", "<thinking> on one line", f"<thinking>{WRONG.strip()}</thinking> {RIGHT}"),
    _chat("Phi-4", "<think> and a mention of it", f"<think>{DRAFT}</think>\nI used `<think>` before.\n\n{ANSWER}"),
    _chat("Magistral", "[THINK]", f"[THINK]{DRAFT}[/THINK]{ANSWER}"),
    _chat("Magistral", "[THINK] unclosed", f"[THINK]{DRAFT}", None),
    _chat("Magistral", "end token", f"[THINK]{DRAFT}[/THINK]{ANSWER}</s>"),
    _chat("Kimi", "◁think▷", f"◁think▷{DRAFT}◁/think▷{ANSWER}"),
    _chat("Seed-OSS", "<seed:think>", f"<seed:think>\n{DRAFT}</seed:think>{ANSWER}<seed:eos>"),
    _chat(
        "Seed-OSS",
        "a budget in the thoughts",
        f"<seed:think>\n<seed:cot_budget_reflect>I have used 9 tokens.</seed:cot_budget_reflect>\n{DRAFT}</seed:think>{ANSWER}",
    ),
    _chat(
        "OpenThinker",
        "<|begin_of_thought|>",
        f"<|begin_of_thought|>\n{DRAFT}<|end_of_thought|>\n\n<|begin_of_solution|>\n{ANSWER}<|end_of_solution|>",
    ),
    _chat(
        "Command A",
        "<|START_THINKING|>",
        f"<|START_THINKING|>{DRAFT}<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
    ),
    _chat("Command A", "<|START_THINKING|> unclosed", f"<|START_THINKING|>{DRAFT}", None),
    _chat(
        "Command A",
        "template opened",
        f"{DRAFT}<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    ),
    _chat("Granite", "in words", f"Here is my thought process:\n\n{DRAFT}\nHere is my response:\n\n{ANSWER}"),
    _chat("EXAONE", "<thought>", f"<thought>\n{DRAFT}</thought>\n{ANSWER}"),
    _chat("Llama 3", "<reasoning>", f"<reasoning>\n{DRAFT}</reasoning>\n{ANSWER}"),
    _chat(
        "gpt-oss",
        "channels",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
    ),
    _chat("gpt-oss", "channels, cut off in the analysis", f"<|channel|>analysis<|message|>{DRAFT}", None),
    _chat("gpt-oss", "channels without special tokens", f"analysis{DRAFT}assistantfinal{ANSWER}"),
    _chat(
        "gpt-oss",
        "commentary",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>commentary<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    ),
    _chat("gpt-oss", "final alone", f"<|channel|>final<|message|>{ANSWER}<|return|>"),
    _chat("gpt-oss", "a prefilled channel", f"{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}"),
    _chat("Qwen3", "the mark in a docstring, in a fence", f"```python\n{MARKED}```\n", MARKED),
    _chat(
        "Qwen3",
        "the mark in a docstring after thoughts",
        f"<think>\n{DRAFT}</think>\n\n```python\n{MARKED}```\nDone.",
        MARKED,
    ),
    _chat("Qwen3", "the mark in a docstring, no fence", MARKED, MARKED),
    _chat("Qwen3", "marks in strings, in a fence", f"So:\n```python\n{SPLITS}```\n", SPLITS),
    _chat("Qwen3", "marks in strings, no fence", f"So:\n\n{SPLITS}\nDone.\n", SPLITS),
    Case("Qwen3", "marks in a body", SPLITS.partition("\n")[2], HEAD + SPLITS.partition("\n")[2], HEAD),
    Case("Qwen3", "thoughts, then a body", f"<think>{DRAFT}</think>\n\n{BODY}", HEAD + BODY, HEAD),
    Case(
        "Qwen3",
        "thoughts, then a whole program",
        f"<think>\n```python\n{ADD_WRONG}```\n</think>\n\n```python\n{ADD}```",
        ADD,
        STDIO_CHAT,
        None,
    ),
    _chat("Mistral", "<s>, then thoughts", f"<s><think>\n{DRAFT}</think>\n{ANSWER}</s>"),
    _chat(
        "Qwen3",
        "a turn's start, then thoughts",
        f"<|im_start|>assistant\n<think>\n{DRAFT}</think>\n{ANSWER}<|im_end|>",
    ),
]
