"""`python -m segsuite.choose`: which network for my budget, on my machine?"""

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point


@entry_point("choose")
def main(cfg: DictConfig) -> None:
    """Measures the networks of all families on this machine, and says which fit a budget.

    python -m segsuite.choose data=camvid data.root=DIR budget.ms=20 size=[352,480] device=cpu
    python -m segsuite.choose data=cityscapes budget.ms=50 budget.mb=50 runtime=onnx
    python -m segsuite.choose budget.gmacs=2 budget.params=5
    python -m segsuite.choose budget.ms=20 'experiments=[segvit_vitt,hyctas_s_cityscapes]'

    Random weights suffice for costs; networks take turns, and what was measured is remembered in
    logs/choose/costs.json for this machine, runtime, size and version of the suite. Those that fit
    are ranked by what is known of their accuracy: this machine's trainings on the data (of the
    folder runs), then what papers print of the data, then of others. Prints the three to train and
    their commands, and ends with one line of JSON; writes result.json and choice.png.
    """
    import json
    import sys

    from hydra.core.hydra_config import HydraConfig
    from rich.console import Console

    from segsuite.choosing.launch import chosen
    from segsuite.engine.launch.run import Run
    from segsuite.engine.result import write_and_log

    console = Console(width=None if sys.stdout.isatty() else 160)  # files need not be narrow
    progress = Console(stderr=True)
    run = Run(cfg)
    choice = chosen(
        run,
        data=HydraConfig.get().runtime.choices["data"],
        tell=lambda text: progress.print(f"{text} ...", style="dim", markup=False, highlight=False),
    )
    choice.show(console, run.folder)
    own = {"optimized": None, **choice.to_dict()}
    write_and_log(run, own, kind="choose", entries=choice.records(), device=choice.device)
    print(json.dumps(choice.to_dict()))


if __name__ == "__main__":
    main()
