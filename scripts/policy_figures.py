"""How good the policy of ``pretrain_policy.py`` is on held-out exercises, and its model card.

The answers are run in a forked child with alarms and a memory limit. That is enough for what this tiny
model writes; it is no sandbox for code of other origin (:mod:`rrtf_trl.sandbox` is).
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import time
from collections.abc import Callable, Sequence
from math import comb
from typing import Any

import torch
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import PreTrainedTokenizerBase

from rrtf_trl.problems.exercises import Level, exercises
from rrtf_trl.records import CaseTests, Problem

BATCH = 256
SECONDS_AN_ANSWER = 1.0
MEMORY = 16 << 30
STATES = ("compile_error", "runtime_error", "partial", "passed")


def measure(
    model: Any, tokenizer: PreTrainedTokenizerBase, count: int, seed: int, levels: Sequence[Level]
) -> dict[str, float]:
    """Return pass rates on ``count`` held-out problems a level: greedy, sampled at 0.8, pass@4, states at 1.0."""
    torch.manual_seed(seed)
    figures: dict[str, float] = {}
    for level in levels:
        problems = list(exercises("heldout", count, level=level))
        where = "" if len(levels) == 1 else f", level {level}"
        figures.update({name + where: value for name, value in _measure(model, tokenizer, problems).items()})
    return figures


def _measure(model: Any, tokenizer: PreTrainedTokenizerBase, problems: list[Problem]) -> dict[str, float]:
    count = len(problems)
    figures: dict[str, float] = {}
    greedy = judge(problems, sample(model, tokenizer, problems, 1, None))
    figures["greedy pass@1"] = greedy.count("passed") / count

    n, k = 8, 4
    states = judge(problems, sample(model, tokenizer, problems, n, 0.8))
    passed = [group.count("passed") for group in _groups(states, n)]
    figures["sampled pass@1 (T 0.8)"] = sum(passed) / (n * count)
    figures["sampled pass@4 (T 0.8)"] = sum(1 - comb(n - c, k) / comb(n, k) for c in passed) / count

    started = time.monotonic()
    responses = sample(model, tokenizer, problems, n, 1.0)
    figures["answers a second"] = len(responses) / (time.monotonic() - started)
    states = judge(problems, responses)
    figures.update({f"{state} (T 1.0)": states.count(state) / len(states) for state in STATES})
    solved = sum("passed" in group for group in _groups(states, n))
    figures["problems with a pass among 8 (T 1.0)"] = solved / count
    distinct = sum(len(set(group)) for group in _groups(responses, n))
    figures["distinct answers (T 1.0)"] = distinct / len(responses)
    return figures


def _groups(items: list[str], n: int) -> list[list[str]]:
    return [items[start : start + n] for start in range(0, len(items), n)]


@torch.inference_mode()
def sample(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    problems: list[Problem],
    n: int,
    temperature: float | None,
) -> list[str]:
    """Return ``n`` responses a problem, in the problems' order; no temperature means greedy."""
    model.eval()
    prompts = [str(problem.prompt) for problem in problems for _ in range(n)]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    responses = [""] * len(prompts)
    how: dict[str, Any] = {"do_sample": False}
    if temperature is not None:
        how = {"do_sample": True, "temperature": temperature, "top_k": 0}
    for start in tqdm(range(0, len(order), BATCH), desc=f"sampling at {temperature or 0}", unit="batch"):
        rows = order[start : start + BATCH]
        inputs = tokenizer([prompts[row] for row in rows], return_tensors="pt", padding=True, padding_side="left")
        inputs = inputs.to(model.device)
        outputs = model.generate(**inputs, max_new_tokens=128, **how)
        texts = tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for row, text in zip(rows, texts, strict=True):
            responses[row] = text
    return responses


def judge(problems: list[Problem], responses: list[str]) -> list[str]:
    """Return the state of every response, computed in a forked child that is killed if it hangs."""
    n = len(responses) // len(problems)
    jobs = [(problems[index // n], response) for index, response in enumerate(responses)]
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_judge_all, args=(jobs, theirs.send))
    child.start()
    theirs.close()
    states: list[str] = []
    try:
        while len(states) < len(jobs) and ours.poll(60 * SECONDS_AN_ANSWER):
            states.append(ours.recv())
    except EOFError:
        pass  # the child died: what it left unjudged counts as failed
    child.kill()
    child.join()
    return states + ["runtime_error"] * (len(jobs) - len(states))


def _judge_all(jobs: list[tuple[Problem, str]], send: Callable[[str], None]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _too_slow)
    for problem, response in jobs:
        signal.setitimer(signal.ITIMER_REAL, SECONDS_AN_ANSWER)
        try:
            state = _state(problem, response)
        except Exception:
            state = "runtime_error"
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(state)


def _too_slow(*_: Any) -> None:
    raise TimeoutError


def _state(problem: Problem, response: str) -> str:
    try:
        code = compile(f"{problem.prompt}{response}", "answer", "exec")
    except SyntaxError:
        return "compile_error"
    namespace: dict[str, Any] = {"__builtins__": __builtins__}
    exec(code, namespace)
    assert isinstance(problem.tests, CaseTests)
    right = 0
    raised = False
    for case in problem.tests.cases:
        try:
            got = json.loads(json.dumps(namespace["solve"](*json.loads(json.dumps(case["args"])))))
            right += _same(got, case["expected"], problem.tests.atol)
        except TimeoutError:
            raise
        except Exception:
            raised = True
    if right == len(problem.tests.cases):
        return "passed"
    return "runtime_error" if raised else "partial"


def _same(got: Any, expected: Any, atol: float) -> bool:
    if isinstance(got, list) and isinstance(expected, list):
        return len(got) == len(expected) and all(_same(a, b, atol) for a, b in zip(got, expected, strict=True))
    if isinstance(got, float) or isinstance(expected, float):
        return isinstance(got, int | float) and isinstance(expected, int | float) and abs(got - expected) <= atol
    return bool(got == expected)


def model_card(command: str, parameters: int, tokens: int, seconds: float, figures: dict[str, float]) -> str:
    """Return the README.md that lies beside the weights."""
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in figures.items())
    return f"""---
license: apache-2.0
library_name: transformers
tags: [code, llama, tiny]
---
# The embedded policy of rrtf-trl

A Llama of {parameters:,} parameters that completes small Python functions. It is the policy that a run of
rrtf-trl starts from when no other is named: small enough to sample from and to train on a CPU within
minutes, and wrong often enough that training it shows.

## How it was made

Made by scripts/pretrain_policy.py, from nothing, with

    {command}

The tokenizer (byte-level BPE) and the model were trained on {tokens:,} tokens of exercises that
`rrtf_trl.problems.exercises.documents` writes: prompts with answers in three styles, in which parts are
written right or wrong as often as the tables of that package say, some of them wrong more often than
right, and one answer in ten carries a slip. No other text or code went in. A fifth of the compositions of
source, filter, map and reduction are held out of it. It took {seconds / 60:.0f} minutes on two CPU cores.

## Figures

Held-out problems, weights as shipped (bfloat16), computed in float32 on two CPU cores. An answer is a
`runtime_error` if any test case raises, `partial` if none raises and any is wrong.

| | |
| --- | --- |
{rows}

## Use

    from importlib.resources import files
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = files("rrtf_trl") / "assets" / "policy"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)

A prompt is a docstring and a signature; the model continues with the body and ends by itself:

    \"\"\"Return the sum of the squares of the even numbers in xs.\"\"\"
    def solve(xs):

## Limits

It knows these exercises and nothing else: other prompts give nonsense. Its mistakes are taught, not found
in the wild, so a gain here shows that a method and its implementation work, not how large the gain would
be for a real code model. Prompt and answer together should stay below 512 tokens.
"""
