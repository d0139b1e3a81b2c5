"""What a run ends with: result.json, which marks it as finished, and the same for its loggers."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import open_dict

from segsuite.core.results import Entry
from segsuite.engine.launch import record
from segsuite.engine.launch.run import Run

if TYPE_CHECKING:  # Lightning takes seconds, and most entry points need it for loggers alone
    from lightning.pytorch.loggers import Logger

log = logging.getLogger(__name__)


def write_and_log(
    run: Run, own: Mapping[str, Any], *, kind: str, entries: Sequence[Entry], device: Any = "cpu"
) -> record.Result:
    """What a run found, written and shown to its loggers; see `record.result_of`."""
    found = record.result_of(run, own, kind=kind, entries=entries, device=device)
    return finished(run, found)


def finished(
    run: Run,
    result: record.Result,
    *,
    loggers: "Sequence[Logger] | None" = None,
    step: int = 0,
    known: Collection[str] = (),
) -> record.Result:
    """Shows a run's record to its loggers, and writes result.json, after which nothing changes.

    A run that is killed or interrupted before that has not finished, and is told anew when it goes
    on; what a logger stumbles over costs no result.

    Args:
        loggers: those that the run has shown its progress to; None where it has none yet, and the
            config's are begun and ended here.
        step: iteration of the training that the result belongs to.
        known: names of metrics that the loggers have got before.
    """
    found = result.record.to_dict()
    try:
        if loggers is not None:
            from segsuite.engine.loggers.records import log_result

            log_result(loggers, found, run.folder, step=step, known=known)
        elif run.config.get("logger"):
            _log_alone(run, found)
    except Exception:
        result.written()
        raise
    return result.written()


def _log_alone(run: Run, found: Mapping[str, Any]) -> None:
    from wandb.errors import Error

    from segsuite.engine.loggers.opened import opened
    from segsuite.engine.loggers.records import log_result, scalars

    with open_dict(run.config):
        run.config.run.kind = found["kind"]  # of a benchmark its probe
    loggers, metrics = run.build_all("logger"), scalars(found, run.folder)

    def resolved(metric: str) -> str:
        return metric if metric in metrics else next(iter(metrics), metric)

    try:
        with opened(loggers, record.flat(run.config), resolved=resolved):
            log_result(loggers, found, run.folder)
    except Error as error:  # no account, no network: what was found is written all the same
        log.warning("W&B has not got the result, which is in %s: %s", run.folder, error)
