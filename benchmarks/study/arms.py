"""What is compared: the parts of the study, and in each the ways to train that stand side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Trainer = Literal["rrtf", "sft", "dpo", "simpo", "grpo"]
Answers = Literal["student", "teacher", "both", "weak teacher", "both, weak"]
Imitate = Literal["best", "passing", "all passing"]

UNCHECKED: tuple[Answers, ...] = ("teacher", "weak teacher")
"""A teacher's answers above the student's, without any tests."""


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Args:
        trainer: Ours, or which of TRL's.
        options: Of the trainer, beside those that all share.
        answers: Whose answers are ranked: the student's by the tests; the teacher's above the student's without any
            tests; both by the tests, the teacher's first where the tests leave them level; and as the last two with a
            teacher who is often wrong.
        problems: To train on.
        epochs: Over them.
        pairs: A problem, for trainers of pairs: the best answer against the worst, the second worst, ...
        imitate: For SFT: the best answer, the best if it passes, or all that pass. For trainers of pairs: the best
            answer is the better one of a pair always, or only if it passes.
        ranking: The score map.
        rounds: In how many rounds the problems are used, each on answers of the policy that the last one made.
    """

    trainer: Trainer = "rrtf"
    options: dict[str, Any] = field(default_factory=dict)
    answers: Answers = "student"
    problems: int = 256
    epochs: float = 3
    pairs: int = 1
    imitate: Imitate = "best"
    ranking: str = "ordinal"
    rounds: int = 1


@dataclass(frozen=True)
class Part:
    """A question, and the arms that answer it; the first is what the others are compared with."""

    question: str
    arms: dict[str, Arm]


PASSED = 3.0
"""The score of an answer that passes all tests, in the ordinal score map."""
PRINTED = {"pair_reduction": "sum", "sft_reduction": "sum"}
"""The losses as the paper prints them: sums over pairs and over tokens."""
PASSING = {"sft_min_score": PASSED}
"""Imitate the best answer only if it passes all tests."""
ALL_PASSING = {**PASSING, "sft_responses": "all"}
DEFAULT = {**PASSING, "rank_min_score": PASSED, "rank_weight": 0.3}
"""As a run of `rrtf` has it: besides, rank only what passes above what does not."""
LIGHT = {**PASSING, "rank_weight": 0.3}
"""All pairs, with less weight."""
SUMS = {**PASSING, "length_normalization": False, "rank_weight": 0.03}
"""What two answers begin with alike then cancels out; about 30 tokens an answer, so a thirtieth of the weight."""


def tuned_as(arm: Arm) -> Arm:
    """Return the arm by whose tuning an arm gets its learning rate, on answers from the same source.

    Those of ours whose terms are means share one, whatever else they ask, but the default has its own; pairs of one
    kind share one too, however many they are.
    """
    if arm.trainer in ("dpo", "simpo"):
        return replace(arm, pairs=1)
    if arm.trainer != "rrtf":
        return arm if arm.imitate != "all passing" else replace(arm, imitate="passing")
    own = arm.options.get("sft_reduction") == "sum" or arm.options.get("sft_weight") == 0.0
    shared = DEFAULT if "rank_min_score" in arm.options else PASSING
    return Arm(options=arm.options if own or arm.answers in UNCHECKED else shared, answers=arm.answers)


LOSSES = Part(
    "The same problems and answers: which loss?",
    {
        "SFT, best answer if it passes": Arm("sft", imitate="passing"),
        "SFT, best answer": Arm("sft"),
        "SFT, best answer if it passes, 11 epochs": Arm("sft", imitate="passing", epochs=11),
        "SFT, all passing answers": Arm("sft", imitate="all passing"),
        "SFT, all passing answers, 11 epochs": Arm("sft", imitate="all passing", epochs=11),
        "SFT, teacher's answer": Arm("sft", answers="teacher"),
        "RRHF": Arm(options={"loss_type": "rrhf"}),
        "RRTF as printed": Arm(options=PRINTED),
        "RRTF, means": Arm(),
        "RRTF, imitate passing": Arm(options=PASSING),
        "RRTF, imitate passing, ranking 0.3": Arm(options=LIGHT),
        "RRTF, imitate passing, ranking 0.3, 11 epochs": Arm(options=LIGHT, epochs=11),
        "RRTF default, ranking 1": Arm(options={**DEFAULT, "rank_weight": 1.0}),
        "RRTF default": Arm(options=DEFAULT),
        "RRTF default, 11 epochs": Arm(options=DEFAULT, epochs=11),
        "RRTF, imitate passing, best against the rest": Arm(options={**PASSING, "pairs": "best_vs_rest"}),
        "RRTF, imitate all passing": Arm(options=ALL_PASSING),
        "RRTF, imitate all passing, 11 epochs": Arm(options=ALL_PASSING, epochs=11),
        "RRTF, sums, imitate passing, ranking 0.03": Arm(options=SUMS),
        "RRTF, ranking alone": Arm(options={"sft_weight": 0.0}),
        "DPO, 1 pair": Arm("dpo"),
        "DPO, 2 pairs": Arm("dpo", pairs=2),
        "DPO and SFT on the best answer, 2 pairs": Arm("dpo", {"loss_type": ["sigmoid", "sft"]}, pairs=2),
        "DPO, 2 pairs of a passing answer": Arm("dpo", pairs=2, imitate="passing"),
        "DPO and SFT, 2 pairs of a passing answer": Arm(
            "dpo", {"loss_type": ["sigmoid", "sft"]}, pairs=2, imitate="passing"
        ),
        **{
            f"DPO, 2 pairs of a passing answer, beta {beta}": Arm("dpo", {"beta": beta}, pairs=2, imitate="passing")
            for beta in (0.03, 0.3, 1.0)
        },
        "SimPO, 1 pair": Arm("simpo"),
        "SimPO, 2 pairs": Arm("simpo", pairs=2),
        "GRPO": Arm("grpo", epochs=1.5),
    },
)

SCORES = Part(
    "How should the states be scored?",
    {
        "ordinal: 0 1 2 3": Arm(options=PASSING),
        "CodeRL: -1 -0.6 -0.3 1": Arm(options={"sft_min_score": 1.0}, ranking="coderl"),
        "RLTF: a partial pass by its ratio": Arm(options={"sft_min_score": 1.0}, ranking="rltf"),
        "pass ratio alone": Arm(options={"sft_min_score": 1.0}, ranking="pass_ratio"),
        "ordinal, weight 1 a pair": Arm(options={**PASSING, "score_weighting": False}),
    },
)

SOURCES = Part(
    "Tests, a teacher, or both?",
    {
        "both": Arm(options=DEFAULT, answers="both"),
        "tests alone": Arm(options=DEFAULT),
        "teacher alone": Arm(options={"rank_weight": 0.3}, answers="teacher"),
        "both, all pairs": Arm(options=LIGHT, answers="both"),
        "both, all pairs, ranking 1": Arm(options=PASSING, answers="both"),
        "SFT, best of both if it passes": Arm("sft", answers="both", imitate="passing"),
        "SFT, teacher's answer": Arm("sft", answers="teacher"),
    },
)

WEAK = Part(
    "The same with a teacher who is often wrong",
    {
        "both": Arm(options=DEFAULT, answers="both, weak"),
        "tests alone": Arm(options=DEFAULT),
        "teacher alone": Arm(options={"rank_weight": 0.3}, answers="weak teacher"),
        "SFT, best of both if it passes": Arm("sft", answers="both, weak", imitate="passing"),
        "SFT, teacher's answer": Arm("sft", answers="weak teacher"),
    },
)

DATA = Part(
    "How many problems, how many epochs?",
    {
        f"{problems} problems, {epochs} epoch{'s' * (epochs > 1)}": Arm(
            options=PASSING, problems=problems, epochs=epochs
        )
        for problems in (64, 256, 1024)
        for epochs in (1, 2, 3, 4, 6)
    },
)

ROUNDS = Part(
    "One round, or several of fewer problems each?",
    {
        "1 round of 256": Arm(options=PASSING),
        "2 rounds of 128": Arm(options=PASSING, rounds=2),
        "4 rounds of 64": Arm(options=PASSING, rounds=4),
    },
)

PARTS = {"losses": LOSSES, "scores": SCORES, "sources": SOURCES, "weak": WEAK, "data": DATA, "rounds": ROUNDS}
