"""`python -m segsuite.report PATH...`: one page over many runs."""

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point


@entry_point("report", positional="folders")
def main(cfg: DictConfig) -> None:
    """Compares everything below some folders: trainings, sweeps, benchmarks, exports, searches.

    python -m segsuite.report logs/sweeps/merge_count
    python -m segsuite.report logs baseline=windows=0
    python -m segsuite.report logs/train/A logs/train/B title='A and B' output=out/

    Writes report.html, which holds all that it shows and opens from a file without a network:
    trainings beside a baseline and what papers print, means over seeds, accuracy against cost,
    learning curves, classes, confusions, the same images, settings that differ; and report.md and
    report.csv. What cannot be read is told, and the rest is shown. Ends with one line of JSON.

    python -m segsuite.report logs/sweeps/merge_count wandb=workspace

    also makes a workspace and a report of Weights & Biases, of runs that had logger=wandb, as JSON;
    wandb_save=true saves them there. Needs the extra `wandb`.
    """
    import json
    import sys

    from segsuite.engine.launch.run import Run
    from segsuite.reporting.launch import reported

    said = reported(Run(cfg), tell=lambda problem: print(problem, file=sys.stderr))
    print(f"report: {said['html']}", file=sys.stderr)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
