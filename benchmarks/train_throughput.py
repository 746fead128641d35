"""How many response tokens a second of CPU time trains on: ours with prompts shared and padded, TRL's DPO and SFT.

    python benchmarks/train_throughput.py --responses 4 8

A step of every contestant is the same group: a prompt and its responses. DPO sees it as pairs of the best response
with each other one, SFT as its best response. Contestants take turns within one process, and what counts is CPU time
on one core, from the beginning to the end of a step (forward, backward, optimizer), so that other work on the machine
disturbs little; medians over all steps but the first of a turn. DPO's reference scores, where they are computed in
advance, cost nothing here. Peak memory is that of a process with one contestant alone. Useful tokens are the
responses', each counted once however often it is computed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from rrtf_trl import RRTFConfig, RRTFTrainer

Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=int, nargs="+", default=[4, 8], help="k, responses to a prompt")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of a prompt")
    parser.add_argument("--response", type=int, default=128, help="tokens of a response")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn, the first of which does not count")
    parser.add_argument("--only", nargs="*", help=f"some of: {', '.join(map(repr, CONTESTANTS))}")
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory")
    parser.add_argument("--out", help="JSON file to write the figures to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    names = options.only or list(CONTESTANTS)
    results = []
    for count in options.responses:
        seconds = measure(names, count, options)
        for name in names:
            useful = options.response * (1 if name.startswith("SFT") else count)
            memory = None if options.no_memory else peak_memory(name, count, options)
            result = {"responses": count, "contestant": name, "seconds": seconds[name], "peak_mib": memory}
            results.append({**result, "tokens_per_second": useful / seconds[name]})
    report(results)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"options": vars(options), "results": results}, file, indent=2)
    if options.only and options.no_memory and len(results) == 1:
        print(own_peak())  # what `peak_memory` reads


def report(results: list[dict[str, Any]]) -> None:
    print("| k | contestant | CPU s / step | useful tokens / CPU s | ours shared is faster by | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for result in results:
        ours = [r for r in results if r["responses"] == result["responses"] and r["contestant"] == "ours, shared"]
        factor = f"{ours[0]['tokens_per_second'] / result['tokens_per_second']:.2f}" if ours else ""
        print(
            f"| {result['responses']} | {result['contestant']} | {result['seconds']:.3f} | "
            f"{result['tokens_per_second']:.0f} | {factor} | {result['peak_mib'] or ''} |"
        )


class Stopwatch(TrainerCallback):
    """CPU seconds of each step."""

    def __init__(self) -> None:
        self.turns: list[list[float]] = []

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Begin a turn."""
        self.turns.append([])

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Take the time."""
        self.start = time.process_time()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Keep the time taken."""
        self.turns[-1].append(time.process_time() - self.start)


def measure(names: list[str], count: int, options: argparse.Namespace) -> dict[str, float]:
    """Return each contestant's median CPU seconds of a step."""
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(count, options)
        trainers, watches = {}, {name: Stopwatch() for name in names}
        for name in names:
            trainers[name] = CONTESTANTS[name](rows, count, common(options, folder))
            trainers[name].add_callback(watches[name])
            trainers[name].remove_callback(PrinterCallback)
        for _ in range(options.rounds):
            for trainer in trainers.values():
                trainer.train()
    return {name: statistics.median(t for turn in watch.turns for t in turn[1:]) for name, watch in watches.items()}


def own_peak() -> int:
    """Return this process's peak memory, MiB; ``ru_maxrss`` would not do: it starts with the parent's."""
    with open("/proc/self/status", encoding="utf-8") as status:
        (kilobytes,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(kilobytes) // 1024


def peak_memory(name: str, count: int, options: argparse.Namespace) -> int:
    """Return MiB."""
    command = [sys.executable, __file__, "--only", name, "--no-memory", "--rounds", "1", "--steps", "2"]
    command += ["--responses", str(count), "--prompt", str(options.prompt), "--response", str(options.response)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


# -- The work --------------------------------------------------------------------------------------------

VOCABULARY = 8192


def make_rows(count: int, options: argparse.Namespace) -> Rows:
    """Return as many rows of random words, a token each, as a turn has steps."""
    draw = torch.Generator().manual_seed(0)

    def words(length: int) -> str:
        return " ".join(f"w{token}" for token in torch.randint(3, VOCABULARY, (length,), generator=draw).tolist())

    return [
        {
            "prompt": words(options.prompt) + " ",
            "responses": [words(options.response - 1) for _ in range(count)],  # the end token comes on top
            "scores": [float(-place) for place in range(count)],
        }
        for _ in range(options.steps)
    ]


def make_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def make_tokenizer() -> PreTrainedTokenizerFast:
    names = ["<pad>", "<unk>", "</s>", *(f"w{token}" for token in range(3, VOCABULARY))]
    words = Tokenizer(models.WordLevel({name: token for token, name in enumerate(names)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens(names[:3])
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", eos_token="</s>")


# -- The contestants -------------------------------------------------------------------------------------


def common(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Return the options that all trainers have."""
    return {
        "output_dir": folder,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "max_steps": options.steps,
        "max_length": options.prompt + options.response,
    }


def ours(rows: Rows, count: int, options: dict[str, Any], share_prefix: bool) -> Trainer:
    args = RRTFConfig(**options, per_device_train_batch_size=1, share_prefix=str(share_prefix))
    return RRTFTrainer(
        make_model(), args=args, train_dataset=Dataset.from_list(rows), processing_class=make_tokenizer()
    )


def dpo(rows: Rows, count: int, options: dict[str, Any], precomputed: bool) -> Trainer:
    pairs = [
        {"prompt": row["prompt"], "chosen": row["responses"][0], "rejected": rejected}
        for row in rows
        for rejected in row["responses"][1:]
    ]
    args = DPOConfig(**options, per_device_train_batch_size=count - 1, precompute_ref_log_probs=precomputed)
    # All responses are of one length: the order, which is random, changes nothing.
    return DPOTrainer(
        make_model(),
        None if precomputed else make_model(),
        args,
        train_dataset=Dataset.from_list(pairs),
        processing_class=make_tokenizer(),
    )


def sft(rows: Rows, count: int, options: dict[str, Any]) -> Trainer:
    best = [{"prompt": row["prompt"], "completion": row["responses"][0]} for row in rows]
    args = SFTConfig(**options, per_device_train_batch_size=1)
    return SFTTrainer(
        make_model(), args=args, train_dataset=Dataset.from_list(best), processing_class=make_tokenizer()
    )


CONTESTANTS: dict[str, Callable[[Rows, int, dict[str, Any]], Trainer]] = {
    "ours, shared": partial(ours, share_prefix=True),
    "ours, padded": partial(ours, share_prefix=False),
    "DPO": partial(dpo, precomputed=False),
    "DPO, reference precomputed": partial(dpo, precomputed=True),
    "SFT on the best": sft,
}


if __name__ == "__main__":
    main()
