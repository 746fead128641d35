"""The study: train a policy in each way that is compared, over seeds, and measure what comes out.

    python scripts/pretrain_policy.py --levels 1 2 3 --documents 60000 --output runs/study/policy-1m
    python benchmarks/study/run.py --policy runs/study/policy-1m --teacher runs/study/teacher-1m
    python benchmarks/study/write.py

`--teacher` names a folder; where there is none yet, the teacher is made there: the policy, trained on the known good
answers of other exercises. Beside it comes a weak one, who saw fewer. Each arm first chooses its learning rate on
problems and a seed of their own. A seed decides the training problems, the answers and the training; the held-out
problems and the draws on them are the same for all. Every result is appended to `benchmarks/results/study/` as soon as
it is there, and is not made again; parts can run side by side, each in a process of its own.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from arms import PARTS, PASSED, Arm, tuned_as
from data import rows
from rich.console import Console

from rrtf_trl.config.instantiate import quiet_libraries
from rrtf_trl.evaluation import Evaluation, Measurement, estimate
from rrtf_trl.feedback import UnitTests
from rrtf_trl.pipeline.collector import Collector
from rrtf_trl.pipeline.measure import measure
from rrtf_trl.problems.exercises import Level, exercises
from rrtf_trl.problems.exercises.composition import LEVELS
from rrtf_trl.records import Problem, code_after_prompt, content_hash
from rrtf_trl.samplers import TransformersSampler
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store
from training import train

RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
TUNING_SEED = 100
TEACHER_SEED = 1000
TEACHER_PROBLEMS = {"teacher": 2048, "weak teacher": 128}


def main() -> None:
    """Make what is missing of a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True, help="folder of the policy to start from")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the teacher, made if there is none")
    parser.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--only", nargs="+", metavar="ARM", help="of the parts; all, if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--level", type=int, choices=LEVELS, default=3, help="of the exercises")
    parser.add_argument("--threads", type=int, default=1, help="of this process")
    parser.add_argument("--work", type=Path, default=Path("runs/study"), help="samples and policies are kept here")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/study"))
    options = parser.parse_args()
    arms = [name for part in options.part for name in PARTS[part].arms]
    only = options.only or arms
    if unknown := sorted(set(only) - set(arms)):
        parser.error(f"--only: no arm of --part {' '.join(options.part)} is called {unknown}; there are {arms}")
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of what is started from here
    torch.set_num_threads(options.threads)
    quiet_libraries()
    study = Study(options.policy, options.teacher, options.level, options.work, options.out)
    study.make_teachers()
    study.base()
    for name in options.part:
        for seed in options.seeds:  # all arms with one seed first: a comparison as soon as can be
            for arm_name, arm in PARTS[name].arms.items():
                if arm_name in only:
                    study.result(arm, seed)


class Study:
    """One policy's results, kept in a file of lines.

    Args:
        policy: Folder to start from.
        teacher: Folder of the teacher.
        level: Of the exercises.
        work: Folder for what can be made again.
        out: Folder for the results.
    """

    def __init__(self, policy: Path, teacher: Path, level: Level, work: Path, out: Path) -> None:
        self.policy, self.level, self.work = policy, level, work
        self.teachers = {"teacher": teacher, "weak teacher": teacher.with_name(f"{teacher.name}-weak")}
        self.file = out / f"{policy.name}.jsonl"
        work.mkdir(parents=True, exist_ok=True)
        out.mkdir(parents=True, exist_ok=True)
        self.tests = UnitTests(timeout=2.0, memory_mb=256)
        self.console = Console(stderr=True, soft_wrap=True)

    def result(self, arm: Arm, seed: int) -> None:
        """Make an arm's result for a seed, at the learning rate that its tuning chose."""
        self._once(
            {"seed": seed, "level": self.level, **asdict(arm)},
            lambda: self._trained(arm, seed, self._rate(arm), "heldout"),
        )

    def make_teachers(self) -> None:
        """Train the policy on known good answers of exercises that no arm trains on, and keep it as a teacher."""
        for name, folder in self.teachers.items():
            if folder.exists():
                continue
            problems = list(exercises("train", TEACHER_PROBLEMS[name], TEACHER_SEED, self.level))
            answers = [
                {
                    "prompt": problem.prompt,
                    "responses": [code_after_prompt(problem.prompt, str(problem.reference))],
                    "scores": [PASSED],
                }
                for problem in problems
            ]
            part = folder.with_name(folder.name + ".part")
            train(Arm("sft", epochs=2), answers, str(self.policy), 3e-4, TEACHER_SEED, part)
            part.rename(folder)

    def _rate(self, arm: Arm) -> float:
        """The learning rate whose policy is best on the tuning problems, greedily and sampled together.

        Found by going from the middle one to the better neighbour, until both are worse.
        """
        tuned = tuned_as(arm)
        at = len(RATES) // 2
        while True:
            near = range(max(at - 1, 0), min(at + 2, len(RATES)))
            best = max(near, key=lambda index: (self._goodness(tuned, RATES[index]), index == at))
            if best == at:
                return RATES[at]
            at = best

    def _goodness(self, arm: Arm, rate: float) -> float:
        row = self._once(
            {"seed": TUNING_SEED, "level": self.level, "rate": rate, **asdict(arm)},
            partial(self._trained, arm, TUNING_SEED, rate, "tuning"),
        )
        return float(row["figures"]["greedy pass@1"] + row["figures"]["sampled pass@1"])

    def _trained(self, arm: Arm, seed: int, rate: float, measured_on: str) -> dict[str, Any]:
        policy = str(self.policy)
        total = {"tokens": 0.0, "train_seconds": 0.0}
        # Another process may tune by the same arm at this moment.
        out = self.work / "policies" / f"{content_hash(asdict(arm), seed, rate, self.level, policy)}-{os.getpid()}"
        for number in range(arm.rounds):
            problems = arm.problems // arm.rounds
            teacher = self.teachers["weak teacher" if "weak" in arm.answers else "teacher"]
            data = rows(
                self.work, policy, str(teacher), self.level, problems, seed + 10_000 * number, arm.answers, arm.ranking
            )
            trained = out / str(number)
            cost = train(arm, data, policy, rate, seed, trained)
            total = {name: total[name] + cost[name] for name in total}
            policy = str(trained)
        found = self._measured(policy, measured_on)
        shutil.rmtree(out)  # what it was measured by is in the store
        return {"learning_rate": rate, "rows": len(data), **total, **found}

    def base(self) -> None:
        """Measure the policy that all start from, and the teachers."""
        for name, policy in {"base": self.policy, **self.teachers}.items():
            about = {"start": name, "level": self.level}
            self._once(about, partial(self._measured, str(policy), "heldout"))

    def _measured(self, policy: str, on: str) -> dict[str, Any]:
        """Figures of a policy, and how many of its samples pass for each problem."""
        draws = 8 if on == "heldout" else 4
        measurements = {
            "greedy": Measurement(),
            "sampled": Measurement(n=draws, temperature=0.8, ks=[1, 4]),
        }
        sampler = partial(TransformersSampler, max_new_tokens=128, batch_size=32, max_sequences=256)
        folder = RunFolder(self.work / f"measured-{os.getpid()}")  # others may measure at this moment
        folder.path.mkdir(exist_ok=True)
        store = Store(self.work / "store.sqlite")
        try:
            found = measure(
                "", policy, Evaluation(sampler, measurements), partial(self._problems, on), self.tests,
                Collector(store, self.console), folder, "",
            )  # fmt: skip
        finally:
            store.close()
        figures = {}
        for name, measurement in measurements.items():
            for k in measurement.ks:
                value = estimate(found[name].counts, k)
                assert value is not None
                figures[f"{name} pass@{k}"] = value.value
        passes = {name: [passed for _, passed in one.counts.values()] for name, one in found.items()}
        return {"figures": figures, "passes": passes}

    def _problems(self, on: str) -> Iterator[Problem]:
        heldout = list(exercises("heldout", 200, 0, self.level))
        if on == "heldout":
            return iter(heldout)
        known = {str(problem.prompt) for problem in heldout}
        others = exercises("heldout", 120, 1, self.level)
        return iter([problem for problem in others if str(problem.prompt) not in known][:100])

    def _once(self, about: dict[str, Any], make: Any) -> dict[str, Any]:
        key = content_hash(about)
        if (known := self._known(key)) is not None:
            return known
        started = time.monotonic()
        row = {"key": key, **about, **make(), "seconds": time.monotonic() - started, **where_and_when()}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        shown = "  ".join(f"{name} {value:.3f}" for name, value in row["figures"].items())
        said = " ".join(str(about.get(name, "")) for name in ("start", "trainer", "options", "epochs", "seed", "rate"))
        self.console.print(f"{said}: {shown}  ({row['seconds']:.0f} s)", highlight=False)
        return row

    def _known(self, key: str) -> dict[str, Any] | None:
        """Return a result that is there; another process may have made it meanwhile."""
        if self.file.exists():
            for row in map(json.loads, self.file.read_text().splitlines()):
                if row["key"] == key:
                    return dict(row)
        return None


def where_and_when() -> dict[str, str]:
    """Return the date and the machine, for results."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    machine = f"{device} ({platform.machine()}), Python {platform.python_version()}"
    return {"date": str(datetime.date.today()), "machine": machine}


if __name__ == "__main__":
    main()
