"""How many useful tokens a second the samplers draw: transformers, other sources of it, vLLM, in interleaved rounds.

    python benchmarks/sample_throughput.py MODEL MBPP.jsonl [--before SRC] [--vllm-python PROGRAM] [--out FILE.md]

A round is one call of a sampler: some of MBPP's problems, asked by chat, ``--n`` draws each. Responses end where the
model ends them, so they are of many lengths, and only their own tokens count: what is computed for a sequence that has
ended is not useful. Each contestant lives in a process of its own and takes its turn in every round, on the same
problems, so that a busy machine slows all alike; the first round does not count. Given are medians over the rounds:
useful tokens for a second, and for a second of processor time, which other work on the machine disturbs less.

``--before`` names a folder with other sources of ``rrtf_trl``, such as ``src`` of another checkout. vLLM takes part
where it is installed, or where ``--vllm-python`` (or ``RRTF_VLLM_PYTHON``) names an interpreter that has it.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[1] / "src"
PLUGIN = Path(__file__).resolve().parents[1] / "plugins" / "rrtf-sampler-vllm" / "src"


def main() -> None:
    options = parse()
    if options.contestant:
        serve(options)
        return
    contestants = {"transformers": SOURCES}
    if options.before:
        contestants = {"transformers, before": options.before, **contestants}
    if not options.four_bits and (options.vllm_python or importlib.util.find_spec("vllm")):
        contestants["vLLM"] = SOURCES
    turns = {name: start(name, sources, options) for name, sources in contestants.items()}
    answers: dict[str, list[dict[str, float]]] = {name: [] for name in turns}
    for number in range(options.rounds + 1):
        for name, process in turns.items():
            answer = ask(process, number)
            if number:
                answers[name].append(answer)
                rate = answer["tokens"] / answer["seconds"]
                print(f"round {number}: {name} {answer['tokens']:.0f} tokens, {rate:.1f} a second", flush=True)
    for process in turns.values():
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    text = table(answers)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a chat model; scripts/smollm2.py makes one")
    parser.add_argument("problems", help="MBPP's file")
    parser.add_argument("--before", type=Path, metavar="SRC", help="other sources of rrtf_trl")
    parser.add_argument("--vllm-python", default=os.environ.get("RRTF_VLLM_PYTHON"), metavar="PROGRAM")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=8, help="problems of a round")
    parser.add_argument("--n", type=int, default=4, help="draws of a problem")
    parser.add_argument("--max-new-tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: one a core")
    parser.add_argument("--four-bits", action="store_true", help="weights of quantization=bnb_4bit; without vLLM")
    parser.add_argument("--out", type=Path, help="Markdown file for the figures")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    return parser.parse_args()


def start(name: str, sources: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    """Start a contestant's process."""
    threads = str(options.threads)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(sources), str(PLUGIN)]),
        "OMP_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait in a loop take the core from who works
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
    }
    return subprocess.Popen(
        [sys.executable, __file__, *sys.argv[1:], "--contestant", name],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def ask(process: subprocess.Popen[str], number: int) -> dict[str, float]:
    """Let a contestant do a round, and return its figures."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, process.args))} ended with status {process.wait()}")  # type: ignore[arg-type]
    answer: dict[str, float] = json.loads(line)
    return answer


def serve(options: argparse.Namespace) -> None:
    """Do the rounds that the standard input asks for, one a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from transformers import AutoTokenizer

    from rrtf_trl.problems import ProblemFile

    problems = list(ProblemFile(options.problems, prompt_form="chat"))
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    sampler = build(options)
    for line in sys.stdin:
        first = int(line) * options.size
        some = [problems[index % len(problems)] for index in range(first, first + options.size)]
        began, worked = time.perf_counter(), processor_seconds()
        candidates = sampler.sample(some).candidates
        seconds, worked = time.perf_counter() - began, processor_seconds() - worked
        tokens = sum(len(tokenizer(c.response, add_special_tokens=False)["input_ids"]) for c in candidates)
        answers.write(json.dumps({"tokens": tokens, "seconds": seconds, "processor": worked}) + "\n")
        answers.flush()
    sampler.close()


def build(options: argparse.Namespace) -> Any:
    """Return a contestant's sampler."""
    decoding: dict[str, Any] = {"n": options.n, "temperatures": [0.8], "max_new_tokens": options.max_new_tokens}
    if options.contestant == "vLLM":
        from rrtf_sampler_vllm.draw import VLLMSampler

        engine = {"dtype": "float32", "max_model_len": 2048}
        return VLLMSampler(options.model, **decoding, engine=engine, python=options.vllm_python)
    from rrtf_trl.samplers import TransformersSampler

    if options.four_bits:
        from transformers import BitsAndBytesConfig

        decoding["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype="bfloat16",
        )
    return TransformersSampler(options.model, **decoding, dtype="float32")


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it started and that still run."""
    import psutil

    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def table(answers: dict[str, list[dict[str, float]]]) -> str:
    """Return the figures as Markdown."""
    command = " ".join(["python benchmarks/sample_throughput.py", *sys.argv[1:]])
    lines = [
        "# Useful tokens that are sampled a second\n",
        f"`{command}`\n",
        f"{datetime.date.today()}, {len(os.sched_getaffinity(0))} processor cores. How it is measured is told at the "
        "top of the script.\n",
        "| sampler | useful tokens a second | lowest to highest | a second of processor time | tokens a round |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, of_name in answers.items():
        rates = [answer["tokens"] / answer["seconds"] for answer in of_name]
        worked = statistics.median(answer["tokens"] / answer["processor"] for answer in of_name)
        size = statistics.median(answer["tokens"] for answer in of_name)
        middle = statistics.median(rates)
        lines.append(f"| {name} | {middle:.1f} | {min(rates):.1f} to {max(rates):.1f} | {worked:.1f} | {size:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
