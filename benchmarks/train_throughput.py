"""How many response tokens a second are trained on: ours with prompts shared and padded, TRL's DPO and SFT.

    python benchmarks/train_throughput.py                                              # on a CPU
    python benchmarks/train_throughput.py --shape 0.5b --weights full lora 4bit        # on a GPU

A step of every contestant is the same group: a prompt and its responses. DPO sees it as pairs of the best response
with each other one, SFT as its best response. In parts, ours computes two responses at a time
(`max_tokens_per_forward`); with 4 problems a step, it computes all at once, or two at a time in forwards of so many
tokens. Weights are float32, as in a run: on a GPU a run computes in bfloat16 all the same, and has the weights below
an adapter in it. With `--dtype bf16` all is bfloat16. Contestants take turns; what counts is the time from the
beginning to the end of a step (forward, backward, optimizer), the median over all steps but the first two of a turn.
On a CPU that is CPU time on one core, which other work on the machine disturbs little; on a GPU it is wall time.
DPO's reference scores, where they are computed in advance, cost nothing here. Peak memory is that of a process with
one contestant alone, on a GPU the card's. Useful tokens are the responses', each counted once however often it is
computed.

Writes a table (Markdown), the figures (JSON) and a plot (SVG) next to each other: `--out NAME` without an ending.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
import transformers
import trl
from contestants import CONTESTANTS, SHAPES, Work, make_trainer, save_model, weights_dtype
from datasets import disable_progress_bars
from transformers import PrinterCallback, TrainerCallback

Result = dict[str, Any]
_UNCOUNTED = 2  # first steps of a turn, in which kernels are compiled and memory is first asked for


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    works = [
        Work(*setting)
        for setting in itertools.product(
            options.shape, options.weights, options.responses, options.prompt, options.response
        )
    ]
    if options.memory_of:  # a process that `peak_memory` has started
        with tempfile.TemporaryDirectory() as folder:
            make_trainer(
                options.memory_of, options.model, works[0], _UNCOUNTED, options.recompute, folder, options.dtype
            ).train()
        print(own_peak())
        return
    ceiling = matmul_flops(options.dtype)
    print(f"{device_name()}: matrix products run at {ceiling / 1e12:.3g} TFLOP/s", flush=True)
    results: list[Result] = []
    for work in works:
        results += measure(work, options, ceiling)
        print(table(results[-len(options.only) :], head=work is works[0]), flush=True)
        if options.out:
            write(results, ceiling, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", default=["tiny"], choices=list(SHAPES), help="of the model")
    parser.add_argument("--weights", nargs="+", default=["full"], choices=["full", "lora", "4bit"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bf16"], help="of the weights")
    parser.add_argument("--responses", type=int, nargs="+", default=[4, 8], help="k, responses to a prompt")
    parser.add_argument("--prompt", type=int, nargs="+", default=[128, 512], help="tokens of a prompt")
    parser.add_argument("--response", type=int, nargs="+", default=[64, 128], help="tokens of a response")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    parser.add_argument("--only", nargs="+", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    parser.add_argument("--out", help="where to write the table, figures and plot, without an ending")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    return parser.parse_args()


# -- Measuring -------------------------------------------------------------------------------------------


class Stopwatch(TrainerCallback):
    """Seconds of each step: of the processor, or of the wall where a GPU works."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Take the time."""
        self.start = now()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Keep the time taken."""
        self.seconds.append(now() - self.start)


def now() -> float:
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(work: Work, options: argparse.Namespace, ceiling: float) -> list[Result]:
    """Return a result for each contestant."""
    watches = {name: Stopwatch() for name in options.only}
    with tempfile.TemporaryDirectory() as folder:
        save_model(work.shape, folder, getattr(torch, weights_dtype(work.weights, options.dtype)))
        for _ in range(options.rounds):
            for name, watch in watches.items():
                trainer = make_trainer(
                    name, folder, work, options.steps, options.recompute, folder + "/out", options.dtype
                )
                turn = Stopwatch()
                trainer.add_callback(turn)
                trainer.remove_callback(PrinterCallback)
                trainer.train()
                watch.seconds += turn.seconds[_UNCOUNTED:]
                del trainer
                gc.collect()
        memory = {name: peak_memory(name, folder, work, options) for name in watches}
    results = []
    for name, watch in watches.items():
        seconds = statistics.median(watch.seconds)
        flops = work.flops(name, options.recompute) / seconds
        results.append(
            {
                **vars(work),
                "contestant": name,
                "seconds": seconds,
                "tokens_per_second": work.useful(name) / seconds,
                "tflops": flops / 1e12,
                "of_ceiling": flops / ceiling,
                "peak_mib": memory[name],
            }
        )
    ours = next((r for r in results if r["contestant"] == "ours, shared"), None)
    for result in results:
        if ours:
            result["faster_by"] = ours["tokens_per_second"] / result["tokens_per_second"]
            result["memory_by"] = ours["peak_mib"] / result["peak_mib"]
    return results


def own_peak() -> int:
    """Return the peak memory, MiB, of the card or of this process; ``ru_maxrss`` starts with the parent's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() // 2**20
    with open("/proc/self/status", encoding="utf-8") as status:
        (kilobytes,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(kilobytes) // 1024


def peak_memory(name: str, model: str, work: Work, options: argparse.Namespace) -> int:
    """Return MiB."""
    command = [sys.executable, __file__, "--memory-of", name, "--model", model]
    for option, value in vars(work).items():
        command += [f"--{option}", str(value)]
    command += ["--dtype", options.dtype, *(["--recompute"] if options.recompute else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"measuring the memory of {name!r} failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.splitlines()[-1])


def matmul_flops(dtype_of_weights: str) -> float:
    """Return the rate at which matrices are multiplied here, operations a second: the best of several tries."""
    on_gpu = torch.cuda.is_available()
    size, dtype = (8192 if on_gpu else 1024), torch.bfloat16 if on_gpu or dtype_of_weights == "bf16" else torch.float32
    matrix = torch.randn(size, size, dtype=dtype, device="cuda" if on_gpu else "cpu")
    best = float("inf")
    for _ in range(10):
        start = now()
        matrix @ matrix
        best = min(best, now() - start)
    return float(2 * size**3 / best)


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "one CPU core"


# -- Reporting -------------------------------------------------------------------------------------------

_COLUMNS: dict[str, Callable[[Result], str]] = {
    "model": lambda r: f"{r['shape']}, {r['weights']}",
    "k": lambda r: str(r["responses"]),
    "prompt": lambda r: str(r["prompt"]),
    "response": lambda r: str(r["response"]),
    "contestant": lambda r: r["contestant"],
    "s a step": lambda r: f"{r['seconds']:.3f}",
    "useful tokens/s": lambda r: f"{r['tokens_per_second']:.0f}",
    "ours shared is faster by": lambda r: f"{r['faster_by']:.2f}" if "faster_by" in r else "",
    "peak MiB": lambda r: str(r["peak_mib"]),
    "ours shared takes": lambda r: f"{r['memory_by']:.2f}" if "memory_by" in r else "",
    "TFLOP/s": lambda r: f"{r['tflops']:.3g}",
    "of the ceiling": lambda r: f"{r['of_ceiling']:.0%}",
}


def table(results: list[Result], head: bool = True) -> str:
    """Return the rows of a Markdown table."""
    lines = [" | ".join(_COLUMNS), " | ".join("---" for _ in _COLUMNS)] if head else []
    lines += [" | ".join(column(result) for column in _COLUMNS.values()) for result in results]
    return "\n".join(f"| {line} |" for line in lines)


def write(results: list[Result], ceiling: float, options: argparse.Namespace) -> None:
    """Write the table, the figures and the plot."""
    out = Path(options.out)
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (torch, transformers, trl))
    command = shlex.join(["python", "benchmarks/train_throughput.py", *sys.argv[1:]])
    head = (
        f"# Response tokens trained on a second\n\n`{command}`\n\n{time.strftime('%Y-%m-%d')}, {device_name()}, "
        f"{versions}. Matrix products run at {ceiling / 1e12:.3g} TFLOP/s here. How it is measured is told at the top "
        f"of the script.\n\n![Useful tokens a second]({out.name}.svg)\n\n"
    )
    out.with_name(out.name + ".md").write_text(head + table(results) + "\n", encoding="utf-8")
    figures = {"device": device_name(), "matmul_flops": ceiling, "results": results}
    out.with_name(out.name + ".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    plot(results, out.with_name(out.name + ".svg"))


def plot(results: list[Result], path: Path) -> None:
    """Draw the useful tokens a second of each contestant, a group of bars for each setting."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(r["contestant"] for r in results))
    settings = list(dict.fromkeys(tuple(r[key] for key in list(r)[:5]) for r in results))
    figure, axes = pyplot.subplots(figsize=(max(7.0, 1.5 + 1.1 * len(settings)), 4.2), layout="constrained")
    for index, name in enumerate(names):
        rates = [r["tokens_per_second"] for r in results if r["contestant"] == name]
        places = [place + (index - (len(names) - 1) / 2) * 0.8 / len(names) for place in range(len(settings))]
        axes.bar(places, rates, width=0.75 / len(names), label=name)
    labels = [f"{shape}, {weights}\nk={k}\n{prompt}+{response}" for shape, weights, k, prompt, response in settings]
    axes.set_xticks(range(len(settings)), labels, fontsize=8)
    axes.set_ylabel("response tokens a second")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
