"""Why ranking adds little to imitation: how many pairs of answers are in order after each, on problems held out.

    python benchmarks/study/order.py --policy runs/study/policy-1m --teacher runs/study/teacher-1m

A pair is a passing and a failing answer of the starting policy to the same held-out problem; it is in order where the
trained policy gives the passing one the higher mean log-probability a token. The arms are those of `run.py`, at the
learning rates that the tuning there chose for the policy of 1M parameters. Writes
`benchmarks/results/study/order-POLICY.md`.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from arms import PARTS, Arm
from data import rows
from run import where_and_when
from transformers import AutoModelForCausalLM, AutoTokenizer

from rrtf_trl.config.instantiate import quiet_libraries
from rrtf_trl.feedback import UnitTests
from rrtf_trl.problems.exercises import Level, exercises
from rrtf_trl.records import Candidate, Problem
from rrtf_trl.samplers import TransformersSampler
from training import train

ARMS = {
    "SFT, best answer if it passes": 3e-4,
    "RRTF default": 3e-4,
    "RRTF, imitate passing, ranking 0.3": 3e-4,
    "RRTF, imitate passing": 3e-4,
    "RRTF, ranking alone": 1e-4,
    "DPO, 2 pairs of a passing answer": 1e-4,
    "SFT, best answer if it passes, 11 epochs": 3e-4,
    "RRTF default, 11 epochs": 3e-4,
}
"""Each with its learning rate, from `benchmarks/results/study/policy-1m.md`."""
LEVEL: Level = 3
"""Of the exercises."""
DRAWS = 8


def main() -> None:
    """Train, and count the pairs in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("runs/study"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/study"))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    quiet_libraries()
    problems = {problem.task_id: problem for problem in exercises("heldout", 200, 0, LEVEL)}
    answers, passed = draw(str(options.policy), problems)
    found: dict[str, list[float]] = {
        "before": [in_order(answers, passed, likelihoods(options.policy, answers, problems))]
    }
    for seed in options.seeds:
        data = rows(options.work, str(options.policy), str(options.teacher), LEVEL, 256, seed, "student", "ordinal")
        for name, rate in ARMS.items():
            arm: Arm = PARTS["losses"].arms[name]
            out = options.work / f"order-{os.getpid()}"
            train(arm, data, str(options.policy), rate, seed, out)
            found.setdefault(name, []).append(in_order(answers, passed, likelihoods(out, answers, problems)))
            shutil.rmtree(out)
            print(f"{name}, seed {seed}: {found[name][-1]:.1%}", flush=True)
    write(options.out / f"order-{options.policy.name}.md", found, options.seeds)


def draw(policy: str, problems: dict[str, Problem]) -> tuple[list[Candidate], set[str]]:
    """Return a policy's answers at T 0.8, without what it said twice, and the ids of those that pass."""
    sampler = TransformersSampler(
        policy, n=DRAWS, temperatures=[0.8], top_ps=[1.0], max_new_tokens=128, batch_size=32, max_sequences=256
    )
    asked = list(problems.values())
    drawn = [one for start in range(0, len(asked), 32) for one in sampler.sample(asked[start : start + 32]).candidates]
    answers = list({(one.task_id, one.response): one for one in drawn}.values())
    tests = UnitTests(timeout=2.0, memory_mb=256)
    judged = tests.judge((problems[one.task_id], one) for one in answers)
    return answers, {judgement.candidate_id for judgement in judged if judgement.state == "passed"}


@torch.no_grad()
def likelihoods(policy: Path, answers: list[Candidate], problems: dict[str, Problem]) -> dict[str, float]:
    """Return each answer's mean log-probability a token under a policy, its end token among them."""
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(policy)
    found = {}
    for answer in answers:
        prompt = tokenizer(str(problems[answer.task_id].prompt))["input_ids"]
        response = [*tokenizer(answer.response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        logps = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        found[answer.candidate_id] = logps.gather(1, torch.tensor(response)[:, None]).mean().item()
    return found


def in_order(answers: list[Candidate], passed: set[str], likelihood: dict[str, float]) -> float:
    """Return the share of pairs in which the passing answer is the likelier one."""
    pairs = [
        likelihood[one.candidate_id] > likelihood[other.candidate_id]
        for one in answers
        for other in answers
        if one.task_id == other.task_id and one.candidate_id in passed and other.candidate_id not in passed
    ]
    return float(np.mean(pairs))


def write(file: Path, found: dict[str, list[float]], seeds: list[int]) -> None:
    """Write the table."""
    about = where_and_when()
    lines = [
        f"# Pairs in order, {file.stem.removeprefix('order-')}",
        "",
        f"`python benchmarks/study/order.py --seeds {' '.join(map(str, seeds))}`",
        "",
        f"{about['date']}, {about['machine']}. Pairs of a passing and a failing answer of the starting policy (T 0.8,",
        "eight draws) to the same of 200 held-out exercises of level 3: in how many the trained policy finds the",
        "passing one likelier, a token; in percent, each seed and their mean.",
        "",
        "| | each seed | mean |",
        "| --- | --- | --- |",
    ]
    for name, shares in found.items():
        each = " ".join(f"{share:.1%}".removesuffix("%") for share in shares)
        lines.append(f"| {name} | {each} | {np.mean(shares):.1%} |")
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
