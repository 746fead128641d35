"""A search: asks Optuna for trials and reports their results to it; its whole state is in Optuna's storage."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console

from rrtf_trl.errors import UserError
from rrtf_trl.sweeps.job import JobResult

from ._config import OptunaSweeperConfig
from ._plugin import NUMBER
from ._space import Space
from ._storage import load_storage

KILLED = "killed"
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Batch:
    """Trials that are launched together.

    Args:
        trials: The trials.
        overrides: The overrides of each trial's job.
        first: The number of the first job.
    """

    trials: list[Trial]
    overrides: list[list[str]]
    first: int


class Search:
    """One start of a search.

    Args:
        options: The sweeper's options.
        hydra_context: Hydra's context.
        config: The sweep's configuration.
        arguments: The command line's overrides.

    Raises:
        UserError: If the options do not fit together.
    """

    def __init__(
        self, options: OptunaSweeperConfig, hydra_context: HydraContext, config: DictConfig, arguments: list[str]
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.options = options
        self.objectives, self.directions = list(options.objectives), list(options.directions)
        self._check(OmegaConf.select(config, "trainer.eval_strategy", default="no"))
        self.folder = Path(str(config.hydra.sweep.dir))
        self.folder.mkdir(parents=True, exist_ok=True)
        parser = OverridesParser.create(config_loader=hydra_context.config_loader)
        self.space = Space.of(parser, dict(options.params), arguments)
        self.console = Console(soft_wrap=True, highlight=False)

    def _check(self, eval_strategy: str) -> None:
        wrong = {*self.directions, self.options.prune_direction} - {"maximize", "minimize"}
        if wrong or not self.objectives or len(self.objectives) != len(self.directions):
            raise UserError(
                "hydra.sweeper: give objectives, and as many directions, each maximize or minimize; "
                f"there are {self.objectives} and {self.directions}"
            )
        if self.options.prune_by and len(self.objectives) > 1:
            raise UserError("hydra.sweeper.prune_by: Optuna prunes searches with one objective only")
        if self.options.prune_by and eval_strategy == "no":
            raise UserError(
                f"hydra.sweeper.prune_by: {self.options.prune_by} is measured during training only with "
                "+trainer.eval_strategy=steps +trainer.eval_steps=N"
            )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Open the study, and keep other processes out of the same search; the lock goes with the process."""
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process runs the search in {self.folder}: to run trials at once, give it "
                    "hydra.sweeper.n_jobs and a launcher"
                ) from None
            self.study = self._open()
            self._restart_killed()
            yield

    def _open(self) -> optuna.Study:
        storage = load_storage(self.options.storage)
        names = optuna.get_all_study_names(storage)
        earlier = 0
        if self.options.study_name in names:
            study = optuna.load_study(study_name=self.options.study_name, storage=storage)
            earlier = len(study.trials)
            if [direction.name.lower() for direction in study.directions] != self.directions:
                raise UserError(f"{self.options.storage}: its study has other objectives; give another study_name")
        sampler = dict(self.options.sampler)
        if str(sampler.get("_target_")).endswith(("GridSampler", "BruteForceSampler")):
            raise UserError(
                "hydra.sweeper.sampler: for every point of a grid do not set hydra/sweeper; Hydra itself runs grids"
            )
        if sampler.get("seed") is not None:
            sampler["seed"] += earlier  # with the same seed, earlier trials would be drawn again
        return optuna.create_study(
            storage=storage,
            study_name=self.options.study_name,
            load_if_exists=True,
            directions=[StudyDirection[way.upper()] for way in self.directions],
            sampler=instantiate(sampler),
        )

    def _restart_killed(self) -> None:
        """Enqueue again the trials that ran when an earlier start was killed; their jobs continue."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            Trial(self.study, trial._trial_id).set_user_attr(KILLED, True)
            self.study.tell(trial.number, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params)
        finished = self.finished()
        if finished or running:
            self.console.print(
                f"search: {len(finished)} of {self.options.n_trials} trials are finished"
                + (f", {len(running)} that were stopped will continue" if running else "")
            )

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that count."""
        trials = self.study.get_trials(deepcopy=False, states=_FINISHED)
        return [trial for trial in trials if not trial.user_attrs.get(KILLED)]

    def next_batch(self) -> Batch | None:
        """Ask for the next trials; ``None`` when enough are finished."""
        left = self.options.n_trials - len(self.finished())
        if left <= 0:
            return None
        first = len(self.study.get_trials(deepcopy=False, states=_FINISHED))
        trials = [self.study.ask(self.space.searched) for _ in range(min(left, self.options.n_jobs))]
        return Batch(trials, [self._overrides(trial) for trial in trials], first)

    def _overrides(self, trial: Trial) -> list[str]:
        found = [*self.space.fixed, *(f"{key}={value}" for key, value in trial.params.items())]
        if self.options.prune_by:
            found.append(f"+hydra.job.env_set.{NUMBER}='{trial.number}'")
        return found

    def finish(self, batch: Batch, returns: Sequence[JobReturn]) -> None:
        """Report the results of a batch to the study.

        Raises:
            UserError: If a run lacks a figure that is an objective.
        """
        for trial, returned in zip(batch.trials, returns, strict=True):
            result = returned.return_value if returned.status == JobStatus.COMPLETED else None
            if not isinstance(result, JobResult) or result.state == "failed":
                self.study.tell(trial, state=TrialState.FAIL)
            elif result.state == "pruned":
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                missing = [name for name in self.objectives if name not in result.figures]
                if missing:
                    self.study.tell(trial, state=TrialState.FAIL)
                    raise UserError(
                        f"hydra.sweeper.objectives: a run has no figure {missing[0]!r}; "
                        f"it has {', '.join(result.figures) or 'none: choose figures that `rrtf run` measures'}"
                    )
                self.study.tell(trial, [result.figures[name] for name in self.objectives])

    def report(self) -> None:
        """Print the best trials, and write them to ``best.yaml`` in the sweep's folder."""
        best = self.study.best_trials
        rows: list[dict[str, Any]] = [
            {
                "trial": trial.number,
                "params": trial.params,
                "values": dict(zip(self.objectives, trial.values, strict=True)),
            }
            for trial in best
        ]
        OmegaConf.save(OmegaConf.create({"best": rows}), self.folder / "best.yaml")
        finished = self.finished()
        pruned = sum(trial.state == TrialState.PRUNED for trial in finished)
        self.console.print(f"search: {len(finished)} trials, {pruned} pruned; best:" if best else "search: no result")
        for row in rows[:10]:
            params = " ".join(f"{key}={value}" for key, value in row["params"].items())
            values = ", ".join(f"{name} {value:.4g}" for name, value in row["values"].items())
            self.console.print(f"  {values}  with  {params}")
