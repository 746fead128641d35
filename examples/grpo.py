"""GRPO with our feedback: TRL's GRPOTrainer on rewards by unit tests, run in the sandbox.

Run it: `python examples/grpo.py`. It takes two steps with the embedded policy.
"""

import json
import tempfile

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rrtf_trl.assets import model_path
from rrtf_trl.feedback import UnitTests, as_reward_func
from rrtf_trl.problems.exercises import exercises
from rrtf_trl.records import to_json


def main() -> None:
    """Train on exercises of the embedded family."""
    rows = [
        {
            "prompt": problem.prompt,
            "tests": json.dumps(to_json(problem)["tests"]),
            "entry_point": problem.entry_point,
        }
        for problem in exercises("train", 8)
    ]
    with tempfile.TemporaryDirectory() as folder:
        args = GRPOConfig(
            folder, max_steps=2, logging_steps=1, learning_rate=1e-5, num_generations=4, max_completion_length=64,
            per_device_train_batch_size=4, report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False,
            save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = GRPOTrainer(
            model_path("embedded"),
            reward_funcs=as_reward_func(UnitTests(timeout=2.0)),
            args=args,
            train_dataset=Dataset.from_list(rows),
        )
        trainer.train()


if __name__ == "__main__":
    main()
