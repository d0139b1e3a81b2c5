"""`python -m segsuite.export`: a network as a file for another runtime."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point
from segsuite.engine.launch.rebuild import config_from_source

if TYPE_CHECKING:
    from rich.console import Console

    from segsuite.engine.launch.record import Result
    from segsuite.engine.launch.run import Run
    from segsuite.exporting.exported import Exported


@entry_point("export", prepare=config_from_source)
def main(cfg: DictConfig) -> None:
    """Writes a network for ONNX Runtime, ExecuTorch or LiteRT, and compares it with the original.

    python -m segsuite.export ckpt_path=FILE size=[360,640]
    python -m segsuite.export ckpt_path=FILE formats=[onnx,onnx_int8] data.root=DIR
    python -m segsuite.export ckpt_path=FILE formats=[executorch,executorch_int8] output=grid
    python -m segsuite.export experiment=mobile_dpc_cityscapes_fine data=scenes   # random weights

    Shapes are fixed. Files are whole or absent, and a float file that differs from the network is
    not kept. int8 is calibrated on training images, and its mIoU is measured. LiteRT needs an
    environment of its own (segsuite/methods/mobile/README.md). Prints a table, writes result.json
    beside the run, and ends with one line of JSON. Of a panoptic network, formats=[onnx] also gives
    what instances are made of, the other formats classes alone.
    """
    import json

    from rich.console import Console

    from segsuite.engine.launch.run import Run

    files, _ = exported(Run(cfg), Console(stderr=True))
    files.show(Console())
    print(json.dumps(files.to_dict()), flush=True)


def exported(run: "Run", progress: "Console") -> "tuple[Exported, Result]":
    """An export from its config to its files and its result; says what goes on."""
    from segsuite.engine.result import write_and_log

    export = run.build("exporter")
    files = export(
        run,
        tell=lambda text: progress.print(f"{text} ...", style="dim", markup=False, highlight=False),
    )
    own = {"optimized": None, **files.to_dict()}
    return files, write_and_log(run, own, kind="export", entries=files.entries())


if __name__ == "__main__":
    main()
