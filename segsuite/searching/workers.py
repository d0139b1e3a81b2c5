"""Who evaluates candidates: this process, or several, on this machine or on others."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from segsuite.core.errors import ConfigError, MissingExtra
from segsuite.core.hints import Count

Answer = tuple[int, dict[str, float] | str, float]
"""Which candidate, its metrics or why it has none, and the seconds that it took."""

Evaluate = Callable[[Any, Sequence[Any]], Iterator[Answer]]
"""Takes the measures and candidates; gives answers as they come, in any order."""


class InTurn:
    """One candidate after the other, in this process."""

    def __call__(self, measures: Any, candidates: Sequence[Any]) -> Iterator[Answer]:
        for place, candidate in enumerate(candidates):
            yield (place, *_timed(measures, candidate))


class Workers:
    """Several candidates at once, by joblib.

    Where the supernet is on a GPU, processes are spread over all GPUs. Numbers of threads differ
    from those of one process, and may change the last digits of a score.

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
    return (place, *_timed(_read(path, place, jobs), candidate))


_here: dict[str, Any] = {}
"""What this process has read."""


def _read(path: str, place: int, jobs: int) -> Any:
    """The measures; those of a GPU on one of all GPUs, which this process keeps."""
    if path not in _here:
        import os

        import joblib
        import torch

        torch.set_num_threads(max((os.cpu_count() or 1) // jobs, 1))
        measures = joblib.load(path)
        if measures.device.type == "cuda":
            measures.to(f"cuda:{place % torch.cuda.device_count()}")
        _here.clear()
        _here[path] = measures
    return _here[path]


def _timed(measures: Any, candidate: Any) -> tuple[dict[str, float] | str, float]:
    begun = time.perf_counter()
    try:
        answer: dict[str, float] | str = measures.evaluated(candidate)
    except RuntimeError as error:  # as torch's, of memory or of a kernel
        answer = " ".join(str(error).split())[:200] or type(error).__name__
    return answer, time.perf_counter() - begun
