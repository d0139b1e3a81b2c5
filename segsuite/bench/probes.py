"""What `probe=` can measure: each gives something to be shown and to be written."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console

from segsuite.core.config import chosen_probe
from segsuite.core.errors import ConfigError
from segsuite.core.results import Entry
from segsuite.engine.launch.heeded import referred
from segsuite.engine.launch.run import Run

log = logging.getLogger(__name__)

Tell = Callable[[str], None]
"""Is told what is going on."""

_OF_EVERY_RUN = {"probe", "name", "allow", "logger", "paths", "run", "hydra"}


@runtime_checkable
class Measured(Protocol):
    """What a probe measured."""

    def show(self, console: Console, folder: Path) -> None:
        """Prints tables, writes plots."""
        ...

    @property
    def machine(self) -> Mapping[str, Any]:
        """What it was measured on, see `measure.machine`."""
        ...

    def entries(self) -> list[Entry]:
        """What belongs into the record of results."""
        ...

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; without `parts`, short enough for one line."""
        ...


def for_record(measured: Measured) -> dict[str, Any]:
    """The entries of the record and the device; none of a probe that tells none, which is said."""
    if isinstance(measured, Measured):
        return {"entries": measured.entries(), "device": measured.machine["device"]}
    log.warning(
        "%s has no `machine` and `entries()`, so that nothing stands in its record in result.json",
        type(measured).__name__,
    )
    return {"entries": []}


class Probe(Protocol):
    """An object of conf/probe: what its constructor takes can be typed as `probe.KEY`."""

    def __call__(self, *, data_overrides: Sequence[str], tell: Tell) -> Measured:
        """Measures.

        Args:
            data_overrides: what was typed about the data set.
        """
        ...


def probe_of(run: Run, typed: Sequence[str] = ()) -> Probe:
    """The probe that `probe=` chooses.

    Args:
        typed: the overrides on the command line.

    Raises:
        ConfigError: its settings do not fit, or something was typed that it does not refer to.
    """
    cfg = run.config
    looked_at = {key.partition(".")[0] for key in referred(cfg, ("probe",))} - {"probe"}
    for override in typed:
        key = re.split(r"[./@=]", override.lstrip("+~"))[0]
        if key not in _OF_EVERY_RUN | looked_at:
            own = [f"probe.{own}" for own in cfg.probe if own not in ("_target_", *looked_at)]
            raise ConfigError(
                f"{override} would change nothing: probe={chosen_probe(typed)} looks at "
                f"{', '.join([*own, *sorted(looked_at)])}"
            )
    _check_accuracy(typed)
    return run.build("probe")


def _check_accuracy(typed: Sequence[str]) -> None:
    """Raises ConfigError for a limit on what is not measured."""
    keys = [re.split(r"[./@=]", override.lstrip("+~"))[0] for override in typed]
    if "accuracy" in keys and not {"checkpoints", "data"} <= {*keys}:
        raise ConfigError(
            f"{typed[keys.index('accuracy')]} would change nothing: the mIoU is that of "
            "checkpoints=[FILE] on the data that are typed, data=NAME data.root=FOLDER"
        )
