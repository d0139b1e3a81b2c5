"""A search for settings: Optuna asks, a training answers in the folder of a sweep's job."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from segsuite.core.errors import ConfigError, MissingExtra
from segsuite.engine.launch import folders
from segsuite.engine.launch.held import held
from segsuite.engine.launch.sweep_table import JobsFailed, listed, write_table
from segsuite.engine.launch.sweeps import JobFailed, config_flags, run_as_process, single_run
from segsuite.engine.launch.typed import quoted, read_override

TRIAL = ".trial"
"""Held by the process that has a trial, before its training holds the folder and after."""


def as_space(arguments: Sequence[str]) -> list[str]:
    """The command line with what has several values, or an interval, as `tune.space`.

    Raises:
        ConfigError: a search is no sweep.
    """
    if {"-m", "--multirun"} & {*arguments}:
        raise ConfigError("segsuite.tune starts its trials itself; leave -m out")
    settings = {a: read_override(a) for a in arguments if "=" in a and not a.startswith("-")}
    searched = [a for a, read in settings.items() if read and read.is_sweep_override()]
    if not searched:
        return [*arguments, "hydra.mode=RUN"]  # which the file of a sweep has otherwise
    others = [a for a in arguments if a not in searched]
    for read in (settings[a] for a in searched):
        # What is typed beside experiments may fit them alone: this config is of the first of them.
        if read.get_key_element() == "experiment" and read.is_choice_sweep():
            first = read.value().list[0]
            others.append(f"experiment={getattr(first, 'text', first)}")  # or quoted
            named = any(a.lstrip("+").startswith("name=") for a in others)
            others += [] if named else ["name=experiments"]
    return [*others, f"tune.space=[{','.join(map(quoted, searched))}]", "hydra.mode=RUN"]


_ENDED = ("COMPLETE", "FAIL")
"""States of trials that were trained to their end: with a number, or without."""


class Tuning:
    """What is asked, in a study in its folder; the same command finds the same study again.

    Args:
        cfg: config of `segsuite.tune`.

    Raises:
        ConfigError: there is nothing to look for.
        MissingExtra: Optuna is not installed.
    """

    def __init__(self, cfg: DictConfig) -> None:
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        self.tune, self.folder = cfg.tune, Path(cfg.run.folder)
        in_file = [f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()]
        typed = [read_override(override) for override in (*in_file, *cfg.tune.space)]
        self.space = {override.get_key_element(): override for override in typed}
        self.fixed = [
            o
            for o in hydra.overrides.task
            if not o.startswith("tune.") and o.partition("=")[0] not in self.space
        ]
        if cfg.optimized_metric is None or not self.space:
            raise ConfigError(
                "there is nothing to look for; type a setting with several values, such as "
                "data.batch_size=4,8 or 'method.optimizer.lr=tag(log,interval(1e-4,1e-2))', and no "
                "optimized_metric=null"
            )
        self._check()
        self.study = self._study()
        self.failed: dict[int, Path] = {}

    def _check(self) -> None:
        """Raises ConfigError for what every trial would stumble over, before the first one."""
        from segsuite.engine.launch.entry_point import compose

        for key, least in (("trials", 1), ("random", 1), ("seed", 0)):
            if not isinstance(number := self.tune[key], int) or number < least:
                raise ConfigError(f"tune.{key}={number} is no number of at least {least}")
        for key, override in self.space.items():
            if override.is_interval_sweep() and override.value().start > override.value().end:
                raise ConfigError(
                    f"{override.input_line} begins above its end; type "
                    f"{key}=interval({override.value().end},{override.value().start})"
                )
        first = {k: distribution(o) for k, o in self.space.items()}
        chosen = {k: d.low if hasattr(d, "low") else d.choices[0] for k, d in first.items()}
        compose("train", [*self.fixed, *(f"{key}={value}" for key, value in chosen.items())])

    def go_on(self) -> None:
        """Runs the trials that are missing, and tells what was found.

        Raises:
            JobsFailed: some have failed; typed again, they are run again.
        """
        try:
            while self._one_more():
                pass
        finally:
            self._tell()
        if self.failed:
            raise JobsFailed(listed([job / "train.log" for job in self.failed.values()]))

    def _one_more(self) -> bool:
        """Runs a trial that was begun and is nobody's, or else a new one; False without any, or
        where none can be expected to end well."""
        if len(self.failed) >= 3 and not self._trials("COMPLETE"):
            return False
        with ExitStack() as stack:

            def is_ours(trial: Any) -> bool:
                job = self._job(trial)
                job.mkdir(parents=True, exist_ok=True)
                return stack.enter_context(held(job, TRIAL, wait=False))

            begun = (t for t in self._trials("RUNNING") if t.number not in self.failed)
            trial = next(filter(is_ours, begun), None)
            if trial is None:
                with held(self.folder, ".asking"):  # one process alone, else both ask the same
                    if len(self._trials("RUNNING", *_ENDED)) >= self.tune.trials:
                        return False
                    trial = self._asked()
                if not is_ours(trial):  # another process was faster
                    return True
            self._run(trial)
        return True

    def _run(self, trial: Any) -> None:
        job = self._job(trial)
        if folders.recorded_result(job) is None:
            try:
                run_as_process("train", single_run(self._typed(trial), job), job)
            except JobFailed:
                self.failed[trial.number] = job
                return
        value = (folders.recorded_result(job) or {}).get("optimized")
        state = _optuna().trial.TrialState.FAIL if value is None else None
        self.study.tell(trial.number, value, state=state, skip_if_finished=True)

    def _study(self) -> Any:
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        asked = [
            f"{key}={value}" for key, value in self.tune.items() if key not in ("trials", "space")
        ]
        space = [override.input_line for override in self.space.values()]
        return optuna.create_study(
            storage=f"sqlite:///{self.folder / 'optuna.db'}",
            study_name=folders.job_name([*self.fixed, *space, *asked]),
            direction=self.tune.direction,
            load_if_exists=True,
        )

    def _asked(self) -> Any:
        optuna = _optuna()
        # A seed for each, so that a search that was stopped asks what it would have asked.
        self.study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=self.tune.random, seed=self.tune.seed + len(self.study.trials)
        )
        return self.study.ask({key: distribution(o) for key, o in self.space.items()})

    def _trials(self, *states: str) -> list[Any]:
        """Those that were asked for to the end: a process may have been killed in between."""
        whole = (t for t in self.study.trials if t.params.keys() == self.space.keys())
        return [trial for trial in whole if trial.state.name in states]

    def _chosen(self, trial: Any) -> dict[str, str]:
        params = {key: trial.params[key] for key in self.space}
        return {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in params.items()}

    def _typed(self, trial: Any) -> list[str]:
        return [*self.fixed, *(f"{key}={value}" for key, value in self._chosen(trial).items())]

    def _job(self, trial: Any) -> Path:
        return self.folder / folders.job_folder(self.folder, self._typed(trial), self.space)

    def _tell(self) -> None:
        trials = self._trials("RUNNING", *_ENDED)
        results = [folders.recorded_result(self._job(trial)) or {} for trial in trials]
        metric = next((r["optimized_metric"] for r in results if r), "result")
        status = {"COMPLETE": "finished", "RUNNING": "unfinished", "FAIL": "without a number"}
        rows = [
            {
                "job": self._job(trial).name,
                **self._chosen(trial),
                metric: trial.value,
                "status": "failed" if trial.number in self.failed else status[trial.state.name],
            }
            for trial in trials
        ]
        write_table(self.folder, rows, [*self.space], metric, typed=self.fixed)
        if finished := self._trials("COMPLETE"):
            best = self.study.best_trial
            line = shlex.join([*config_flags(), *self._typed(best)])
            print(f"best of {len(finished)}: {metric} = {best.value:.4g}, in {self._job(best)}")
            print(f"python -m segsuite.train {line}", flush=True)


def distribution(override: Any) -> Any:
    """What Optuna chooses from, of values or an interval as they are typed for a sweep."""
    of = _optuna().distributions
    if not override.is_interval_sweep():
        if not override.is_sweep_override():
            return of.CategoricalDistribution([override.get_value_element_as_str()])
        return of.CategoricalDistribution([*override.sweep_string_iterator()])
    value = override.value()
    whole = isinstance(value.start, int) and isinstance(value.end, int)
    kind = of.IntDistribution if whole else of.FloatDistribution
    return kind(value.start, value.end, log="log" in value.tags)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtra("optuna", "sweeps") from None
    return optuna
