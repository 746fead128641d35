"""Rank answers of your own by their tests, and train on the ranking: no run, no configuration.

Run it: `python examples/rank_your_answers.py`.
"""

import tempfile

from datasets import Dataset

from rrtf_trl import RRTFConfig, RRTFTrainer
from rrtf_trl.assets import model_path
from rrtf_trl.feedback import UnitTests
from rrtf_trl.ranking import Ranking
from rrtf_trl.records import AssertTests, Candidate, Problem, to_json

PROMPT = "def double(x):\n"
PROBLEM = Problem(
    task_id="mine/0",
    prompt=PROMPT,
    tests=AssertTests(["assert double(2) == 4", "assert double(-1) == -2", "assert double('a') == 'aa'"]),
    entry_point="double",
)
ANSWERS = ["    return x * 2\n", "    return x + 2\n", "    return y\n", "    return (x\n"]


def main() -> None:
    """Judge the answers, rank them, and train the embedded policy on them for some steps."""
    candidates = [
        Candidate(f"answer-{i}", PROBLEM.task_id, text, PROMPT + text, "student", "mine", {}, "stop")
        for i, text in enumerate(ANSWERS)
    ]
    tests = UnitTests(timeout=2.0)
    verdicts = {verdict.candidate_id: verdict for verdict in tests.judge((PROBLEM, item) for item in candidates)}
    judged = [(item, {"unit_tests": verdicts[item.candidate_id]}) for item in candidates]
    group = Ranking().rank(PROBLEM, judged).group
    assert group is not None, "the answers are all alike"
    for score, response in sorted(zip(group.scores, group.responses, strict=True), reverse=True):
        print(f"{score:g}  {response.strip()}")
    with tempfile.TemporaryDirectory() as folder:
        args = RRTFConfig(
            folder, max_steps=5, logging_steps=1, learning_rate=1e-4, sft_min_score=3.0, report_to="none",
            use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        rows = Dataset.from_list([to_json(group)] * 4).select_columns(["prompt", "responses", "scores"])
        RRTFTrainer(model_path("embedded"), args=args, train_dataset=rows).train()


if __name__ == "__main__":
    main()
