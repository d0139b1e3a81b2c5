"""Who evaluates candidates: this process, or several, on this machine or on others."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from uuid import uuid4

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
    """Several candidates at once, by joblib or by Ray.

    Where the supernet is on a GPU, joblib's processes are spread over all GPUs, and Ray gives each
    candidate one. Numbers of threads differ from those of one process, and may change the last
    digits of a score.

    Args:
        jobs: how many at once; 1 evaluates them in this process.
        engine: `loky` for processes of this machine, by joblib; `ray` for a cluster
            (`RAY_ADDRESS`), or for this machine where there is none.

    Raises:
        MissingExtra: joblib or ray is not installed.
    """

    def __init__(self, *, jobs: Count = 1, engine: Literal["loky", "ray"] = "loky") -> None:
        self.jobs, self.engine = jobs, engine
        self._kept: tuple[Any, TemporaryDirectory[str]] | None = None
        self._shared: tuple[Any, str, Any] | None = None
        if engine == "ray" and jobs == 1:
            raise ConfigError(
                "workers.engine=ray with workers.jobs=1 would evaluate in this process; say how "
                "many at once, such as workers.jobs=8"
            )

    def __call__(self, measures: Any, candidates: Sequence[Any]) -> Iterator[Answer]:
        if self.jobs == 1 or len(candidates) < 2:
            yield from InTurn()(measures, candidates)
            return
        if self.engine == "ray":
            yield from self._by_ray(measures, candidates)
        else:
            yield from self._by_joblib(measures, candidates)

    def _by_joblib(self, measures: Any, candidates: Sequence[Any]) -> Iterator[Answer]:
        try:
            import joblib
        except ModuleNotFoundError as error:
            raise MissingExtra("joblib", "search") from error
        path = self._written(measures)
        calls = (
            joblib.delayed(_elsewhere)(str(path), place, self.jobs, candidate)
            for place, candidate in enumerate(candidates)
        )
        yield from joblib.Parallel(self.jobs, return_as="generator_unordered")(calls)

    def _by_ray(self, measures: Any, candidates: Sequence[Any]) -> Iterator[Answer]:
        """Not by joblib's backend of Ray (2.60), which gives no answer before all are there: a
        search that is killed would lose them."""
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ConfigError(
                "workers.engine=ray needs Ray: pip install ray, or take workers.engine=loky"
            ) from error
        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        if self._shared is None or self._shared[0] is not measures:
            self._shared = measures, str(uuid4()), ray.put(measures)
        _, name, stored = self._shared
        remote = ray.remote(_on_ray).options(num_gpus=int(measures.device.type == "cuda"))
        left = enumerate(candidates)

        def begun(count: int) -> list[Any]:
            return [
                remote.remote(name, [stored], place, self.jobs, candidate)
                for place, candidate in islice(left, count)
            ]

        running = begun(self.jobs)
        while running:
            done, running = ray.wait(running)
            running += begun(len(done))
            yield from ray.get(done)

    def _written(self, measures: Any) -> Path:
        """A file that workers read once, and not with each candidate."""
        import joblib

        if self._kept is None or self._kept[0] is not measures:
            self._kept = measures, TemporaryDirectory()
            joblib.dump(measures, Path(self._kept[1].name) / "measures.pkl")
        return Path(self._kept[1].name) / "measures.pkl"


def _elsewhere(path: str, place: int, jobs: int, candidate: Any) -> Answer:
    import joblib

    measures = _here_or(path, lambda: joblib.load(path), place, jobs)
    return (place, *_timed(measures, candidate))


def _on_ray(name: str, stored: list[Any], place: int, jobs: int, candidate: Any) -> Answer:
    """`stored` is in a list, so that Ray hands it on unread, and it is read once a process."""
    import ray

    measures = _here_or(name, lambda: ray.get(stored[0]), place, jobs)
    return (place, *_timed(measures, candidate))


_here: dict[str, Any] = {}
"""What this process has read."""


def _here_or(name: str, read: Callable[[], Any], place: int, jobs: int) -> Any:
    """The measures; those of a GPU on one of all GPUs, which this process keeps."""
    if name not in _here:
        import os

        import torch

        torch.set_num_threads(max((os.cpu_count() or 1) // jobs, 1))
        measures = read()
        if measures.device.type == "cuda":
            measures.to(f"cuda:{place % torch.cuda.device_count()}")
        _here.clear()
        _here[name] = measures
    return _here[name]


def _timed(measures: Any, candidate: Any) -> tuple[dict[str, float] | str, float]:
    begun = time.perf_counter()
    try:
        answer: dict[str, float] | str = measures.evaluated(candidate)
    except RuntimeError as error:  # as torch's, of memory or of a kernel
        answer = " ".join(str(error).split())[:200] or type(error).__name__
    return answer, time.perf_counter() - begun
