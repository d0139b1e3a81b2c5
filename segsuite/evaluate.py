"""`python -m segsuite.evaluate`: how good a checkpoint is."""

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point
from segsuite.engine.launch.rebuild import config_from_checkpoint


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

    from segsuite.core.results import Entry, metrics_of
    from segsuite.engine import evaluation
    from segsuite.engine.launch.ranks import on_main_process
    from segsuite.engine.launch.run import Run
    from segsuite.engine.result import write_and_log

    run = Run(cfg)
    result = evaluation.evaluate(run)
    if on_main_process():
        metrics, files = metrics_of(result["metrics"]), {"checkpoint": result["checkpoint"]}
        entry = Entry(name=str(cfg.name), metrics=metrics, artefacts=files)
        device = result["device"]
        write_and_log(run, result, kind="evaluate", entries=[entry], device=device)
        print(f"results in {run.folder}", file=sys.stderr)
        print(json.dumps(result), flush=True)
    return result["optimized"]


if __name__ == "__main__":
    main()
