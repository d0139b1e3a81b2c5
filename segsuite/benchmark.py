"""`python -m segsuite.benchmark`: what networks cost on this machine."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point

if TYPE_CHECKING:
    from rich.console import Console

    from segsuite.bench.probes import Measured
    from segsuite.engine.launch.record import Result
    from segsuite.engine.launch.run import Run


@entry_point("benchmark")
def main(cfg: DictConfig) -> None:
    """Compares networks on this machine: operations, tokens, time and memory, part by part.

    python -m segsuite.benchmark experiments=[segvit_vitb,cts_dtop_vitb_static] batch_sizes=[1,8]
    python -m segsuite.benchmark checkpoints=[A.ckpt,B.ckpt] data=camvid data.root=DIR
    python -m segsuite.benchmark checkpoints=[A.ckpt,A.onnx] device=cpu  # exported beside it
    python -m segsuite.benchmark probe=training experiments=[A,B] data=camvid data.root=DIR
    python -m segsuite.benchmark probe=memory    # of training, against the number of classes
    python -m segsuite.benchmark probe=losses    # alone: time and memory

    python -m segsuite.benchmark probe=runtimes checkpoints=[A.ckpt] data=camvid data.root=DIR
    python -m segsuite.benchmark probe=latency_table checkpoints=[SUPERNET] size=[192,256]
    python -m segsuite.benchmark probe=rank_correlation checkpoints=[SUPERNET,A.ckpt,...] \\
        data=camvid data.root=DIR data.held_out=0.2
    python -m segsuite.benchmark probe=estimate_cost checkpoints=[SUPERNET] data=camvid \\
        data.root=DIR data.held_out=0.2

    Networks take turns on the same images: real ones where a data set is named, else drawn ones.
    The mIoU of checkpoints stands beside their speed where data are named: of accuracy.images
    validation images, at the size that is measured.
    Prints tables, writes result.json and breakdown.png, and ends with one line of JSON.
    """
    import json
    import sys

    from rich.console import Console

    from segsuite.engine.launch.run import Run

    console = Console(width=None if sys.stdout.isatty() else 160)  # files need not be narrow
    measured, _ = benchmarked(Run(cfg), console)
    print(json.dumps(measured.to_dict(parts=False)))


def benchmarked(run: "Run", console: "Console") -> "tuple[Measured, Result]":
    """A comparison from its config to its result; what is found is shown as it comes."""
    from segsuite.bench.probes import for_record, probe_of
    from segsuite.core.config import chosen_probe
    from segsuite.engine.result import write_and_log

    typed = run.typed
    measured = probe_of(run, typed)(
        data_overrides=[o for o in typed if o.lstrip("+").startswith(("data=", "data.", "data/"))],
        tell=lambda text: console.print(f"{text} ...", style="dim", markup=False, highlight=False),
    )
    measured.show(console, run.folder)
    own = {"optimized": None, **measured.to_dict()}
    return measured, write_and_log(run, own, kind=chosen_probe(typed), **for_record(measured))


if __name__ == "__main__":
    main()
