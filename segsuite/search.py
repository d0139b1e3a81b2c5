"""`python -m segsuite.search`: architectures that no other beats, out of a trained supernet."""

from pathlib import Path

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point
from segsuite.engine.launch.rebuild import config_from_checkpoint


@entry_point("search", prepare=config_from_checkpoint, goes_on_from=Path("archive.jsonl"))
def main(cfg: DictConfig) -> None:
    """Searches a supernet for architectures, by any of mIoU, latency, multiply-adds, parameters and
    memory at once.

    python -m segsuite.search ckpt_path=SUPERNET objectives=[miou,gmacs] evaluations=400
    python -m segsuite.search ckpt_path=SUPERNET objectives=[miou,latency] method/search=predictor
    python -m segsuite.search ckpt_path=SUPERNET objectives=[miou,latency] runtime=onnxruntime
    python -m segsuite.search ckpt_path=SUPERNET method/search=random limits.gmacs=1.5
    python -m segsuite.search ckpt_path=SUPERNET resume=true

    Accuracy is that of the supernet's weights, on training images that it was not trained on
    (data.held_out). Every evaluation is a line of archive.jsonl in the run's folder, from which a
    search that was stopped goes on. Writes result.json, progress.csv and front.png as it goes, and
    of each architecture of the front a genotype and a checkpoint with the supernet's weights, which
    all entry points read. A small, a middle and a large one are there by these names:

    python -m segsuite.evaluate ckpt_path=RUN/weights/small.ckpt
    python -m segsuite.train experiment=hyctas_s_cityscapes --config-dir RUN/genotypes \\
        method/genotype=small init_from=RUN/weights/small.ckpt
    """
    import json

    from rich.console import Console

    from segsuite.core.hardware import device_of
    from segsuite.engine.launch.run import Run
    from segsuite.engine.result import write_and_log
    from segsuite.searching.launch import searched

    console = Console(stderr=True)
    run = Run(cfg)
    result, written = searched(
        run,
        tell=lambda text: console.print(text, style="dim", markup=False, highlight=False),
    )
    result.show(Console())
    own = {
        "optimized": None,
        "evaluated": len(result.entries),
        "refused": result.refused,
        "front": [{"key": e["key"], **e["metrics"]} for e in result.best],
        **written,
    }
    write_and_log(run, own, kind="search", entries=result.records(), device=device_of(cfg.device))
    print(json.dumps(own), flush=True)


if __name__ == "__main__":
    main()
