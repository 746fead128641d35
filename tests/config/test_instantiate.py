"""What a configuration builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from rrtf_trl.config.instantiate import build_evaluation
from rrtf_trl.evaluation import Measurement
from rrtf_trl.plugins.folders import config_dir

MINE = """
# @package sampler.mine
_target_: rrtf_trl.samplers.TransformersSampler
model: ${model.path}
source: student
n: 3
temperatures: [0.3]
max_new_tokens: 5
batch_size: 7
seed: ${seed}
"""


def composed(folder: Path, name: str, *overrides: str) -> DictConfig:
    (folder / "sampler").mkdir()
    (folder / "sampler" / "mine.yaml").write_text(MINE)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(name, [f"hydra.searchpath=[file://{folder}]", *overrides])


@pytest.mark.parametrize("name", ["config", "evaluate"])
def test_a_policy_is_measured_with_the_sampler_that_draws_from_it(tmp_path: Path, name: str) -> None:
    config = composed(tmp_path, name, "sampler=[mine]", "evaluation.max_new_tokens=9")
    evaluation = build_evaluation(config)
    sampler = evaluation.sampler_for(Measurement(n=4, temperature=0.8, ks=[1]), "embedded")
    # Its own options, with the decoding of the measurement.
    assert sampler.batch_size == 7
    assert (sampler.decoding.n, sampler.decoding.temperatures, sampler.decoding.max_new_tokens) == (4, [0.8], 9)
    assert sampler.decoding.seed == config.evaluation.seed


def test_without_another_sampler_of_the_policy_transformers_measures(tmp_path: Path) -> None:
    evaluation = build_evaluation(composed(tmp_path, "config", "sampler=[transformers,reference]"))
    assert evaluation.sampler_for(Measurement(), "embedded").identity()["sampler"] == "transformers"
