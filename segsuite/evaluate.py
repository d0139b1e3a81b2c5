"""`python -m segsuite.evaluate`: how good a checkpoint is."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point
from segsuite.engine.launch.rebuild import config_from_checkpoint

if TYPE_CHECKING:
    from segsuite.engine.launch.record import Result
    from segsuite.engine.launch.run import Run


@entry_point("evaluate", prepare=config_from_checkpoint)
def main(cfg: DictConfig) -> float | None:
    """Scores a checkpoint on the data it was trained on, or on data=... with the same classes.

    python -m segsuite.evaluate ckpt_path=FILE
    python -m segsuite.evaluate ckpt_path=FILE inference=slide data.root=DIR
    python -m segsuite.evaluate ckpt_path=FILE inference=multiscale method.pruning.mode=static
    python -m segsuite.evaluate ckpt_path=FILE scores=cityscapes data.instances=true
    python -m segsuite.evaluate ckpt_path=FILE submission=cityscapes

    The last line of the output is JSON; the same goes to result.json in the run's folder, with
    the record of the machine and the commit.
    """
    import json
    import sys

    from segsuite.engine.launch.ranks import on_main_process
    from segsuite.engine.launch.run import Run

    result = evaluated(Run(cfg))
    if on_main_process():
        print(f"results in {result.folder}", file=sys.stderr)
        print(json.dumps(result.own), flush=True)
    return result.own["optimized"]


def evaluated(run: "Run") -> "Result":
    """An evaluation from its config to its result."""
    from segsuite.core.results import Entry, metrics_of
    from segsuite.engine import evaluation
    from segsuite.engine.launch.ranks import on_main_process
    from segsuite.engine.launch.record import result_of
    from segsuite.engine.result import finished

    found = evaluation.evaluate(run)
    metrics, files = metrics_of(found["metrics"]), {"checkpoint": found["checkpoint"]}
    entry = Entry(name=str(run.config.name), metrics=metrics, artefacts=files)
    result = result_of(run, found, kind="evaluate", entries=[entry], device=found["device"])
    return finished(run, result) if on_main_process() else result


if __name__ == "__main__":
    main()
