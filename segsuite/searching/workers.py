"""Who evaluates candidates: this process, or several, on this machine or on others."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from segsuite.core.errors import ConfigError, MissingExtra
from segsuite.core.hints import Count

Answer = tuple[int, dict[str, float], float]
"""Which candidate, its metrics, and the seconds that it took."""

Evaluate = Callable[[Any, Sequence[Any]], Iterator[Answer]]
"""Takes the measures and candidates; gives answers as they come, in any order."""


class InTurn:
    """One candidate after the other, in this process."""

    def __call__(self, measures: Any, candidates: Sequence[Any]) -> Iterator[Answer]:
        for place, candidate in enumerate(candidates):
            yield (place, *_timed(measures, candidate))


class Workers:
    """Several candidates at once, by joblib.

    On a machine with several GPUs, candidates go round them.

    Args:
        jobs: how many at once; 1 evaluates them in this process.
        engine: `loky` for processes of this machine; `ray` for a cluster that is connected to, all
            of whose machines see the same temporary folder (`RAY_TMPDIR`, `TMPDIR`).

    Raises:
        MissingExtra: joblib or ray is not installed.
    """

    def __init__(self, *, jobs: Count = 1, engine: Literal["loky", "ray"] = "loky") -> None:
        self.jobs, self.engine = jobs, engine
        self._kept: tuple[Any, TemporaryDirectory[str]] | None = None
        if engine == "ray" and jobs == 1:
            raise ConfigError(
                "workers.engine=ray with workers.jobs=1 would evaluate in this process; say how "
                "many at once, such as workers.jobs=8"
            )

    def __call__(self, measures: Any, candidates: Sequence[Any]) -> Iterator[Answer]:
        if self.jobs == 1 or len(candidates) < 2:
            yield from InTurn()(measures, candidates)
            return
        try:
            import joblib
        except ModuleNotFoundError as error:
            raise MissingExtra("joblib", "search") from error
        if self.engine == "ray":
            _register_ray()
        path = self._written(measures)
        calls = (
            joblib.delayed(_elsewhere)(str(path), place, self.jobs, candidate)
            for place, candidate in enumerate(candidates)
        )
        with joblib.parallel_config(self.engine):
            yield from joblib.Parallel(self.jobs, return_as="generator_unordered")(calls)

    def _written(self, measures: Any) -> Path:
        """A file that workers read once, and not with each candidate."""
        import joblib

        if self._kept is None or self._kept[0] is not measures:
            self._kept = measures, TemporaryDirectory()
            joblib.dump(measures, Path(self._kept[1].name) / "measures.pkl")
        return Path(self._kept[1].name) / "measures.pkl"


def _register_ray() -> None:
    try:
        from ray.util.joblib import register_ray
    except ModuleNotFoundError as error:
        raise ConfigError(
            "workers.engine=ray needs Ray: pip install ray, or take workers.engine=loky"
        ) from error
    register_ray()


def _elsewhere(path: str, place: int, jobs: int, candidate: Any) -> Answer:
    return (place, *_timed(_loaded(path, place, jobs), candidate))


def _loaded(path: str, place: int, jobs: int) -> Any:
    import os

    import torch

    devices = torch.cuda.device_count()
    torch.set_num_threads(max((os.cpu_count() or 1) // jobs, 1))
    return _read(path, place % devices if devices else None)


@lru_cache(maxsize=8)
def _read(path: str, device: int | None) -> Any:
    import joblib

    measures = joblib.load(path)
    return measures if device is None else measures.to(f"cuda:{device}")


def _timed(measures: Any, candidate: Any) -> tuple[dict[str, float], float]:
    begun = time.perf_counter()
    return measures.evaluated(candidate), time.perf_counter() - begun
