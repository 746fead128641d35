"""Parts that train under FSDP2 and ZeRO-3 on one rank, as `accelerate launch` starts them, beside plain training.

Run as a script by :func:`_launched`, this file trains as its JSON argument says and leaves the weights.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from datasets import Dataset
from safetensors.torch import load_file

from gpu.setting import Finding, Setting
from gpu.steps import make_config, ragged_rows, relative_distance
from rrtf_trl import RRTFTrainer

CONFIGS = Path(__file__).parents[2] / "conf" / "accelerate"
_OPTIONS: dict[str, Any] = {"max_steps": 3, "learning_rate": 0.1, "share_prefix": "true", "bf16": True}


def fsdp2(setting: Setting) -> Finding:
    """FSDP2 trains to the weights of plain training."""
    return _compare(setting, "fsdp2", "FSDPLlamaForCausalLM")


def zero3(setting: Setting) -> Finding:
    """ZeRO-3 trains to the weights of plain training."""
    if importlib.util.find_spec("deepspeed") is None:
        return Finding("DeepSpeed is not installed: pip install 'rrtf-trl[deepspeed]'", None)
    return _compare(setting, "zero3", "DeepSpeedEngine")


def _compare(setting: Setting, engine: str, wrapper: str) -> Finding:
    model = setting.model("tiny", "float32")
    begun = _launched(setting, engine, model)
    plain = _train(setting, model, f"plain-beside-{engine}")
    with (setting.folder / f"{engine}-launched.log").open() as log:
        if begun.wait():
            raise RuntimeError(f"accelerate launch failed:\n{log.read()[-4000:]}")
    sharded = json.loads((setting.folder / engine / "result.json").read_text())
    if sharded["wrapper"] != wrapper:
        raise RuntimeError(f"the model was wrapped as {sharded['wrapper']}, not as {wrapper}")
    before, after = _weights(Path(model)), _weights(setting.folder / f"plain-beside-{engine}")
    found = _weights(setting.folder / engine)
    apart = relative_distance(_moves(found, before), _moves(after, before))
    losses = max(abs(one - other) / abs(other) for one, other in zip(sharded["losses"], plain["losses"], strict=True))
    return Finding(
        f"{wrapper} in bf16, {len(plain['losses'])} steps: losses {losses:.1e} apart, of their size; what the weights "
        f"moved {apart:.1e} apart",
        # The wrappers compute norms in bfloat16, which autocast does not.
        losses < 0.02 and apart < 0.25,
    )


def _launched(setting: Setting, engine: str, model: str) -> subprocess.Popen[bytes]:
    job = {"folder": str(setting.folder), "tiny": setting.tiny, "model": model, "name": engine}
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / f"{engine}.yaml")]
    launch += ["--num_processes", "1", "--mixed_precision", "bf16", "--main_process_port", "0"]
    with (setting.folder / f"{engine}-launched.log").open("w") as log:
        return subprocess.Popen([*launch, __file__, json.dumps(job)], stdout=log, stderr=log)


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def _moves(after: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: values - before[name] for name, values in after.items()}


def _train(setting: Setting, model: str, name: str) -> dict[str, Any]:
    """Train, save the weights to the folder ``name``, and return losses and what the model was wrapped as."""
    rows = ragged_rows(2, 5, 24, 16) if setting.tiny else ragged_rows(4, 8, 500, 250)
    args = make_config(setting, rows, **_OPTIONS)
    if not setting.on_gpu:
        _let_processors_take_part()  # after the options, which reset what accelerate knows
    trainer = RRTFTrainer(model, args=args, train_dataset=Dataset.from_list(rows))
    trainer.train()
    trainer.save_model(str(setting.folder / name))
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    return {"losses": losses, "wrapper": type(trainer.model_wrapped).__name__}


def _let_processors_take_part() -> None:
    """Have accelerate spread a model over processors, as it does over cards."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        # accelerate has no FSDP for processors, though torch has: let it take these for cards.
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        import deepspeed  # type: ignore[import-not-found, import-untyped, unused-ignore]

        # Its way for small sums is compiled on first use, for a minute or more; without it gloo adds them up.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def main() -> None:
    job = json.loads(sys.argv[1])
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    result = _train(Setting(Path(job["folder"]), job["tiny"]), job["model"], job["name"])
    (Path(job["folder"]) / job["name"] / "result.json").write_text(json.dumps(result))
    # Without tearing down: gloo's threads and Python's can wait for each other there.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
