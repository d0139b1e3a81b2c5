"""`python -m segsuite.tune`: trainings that look for the best settings, one after another."""

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point
from segsuite.engine.launch.trials import as_space


@entry_point("tune", prepare=as_space)
def main(cfg: DictConfig) -> None:
    """Looks for the settings of a training that give the best metric, by Optuna (extra `sweeps`).

    python -m segsuite.tune experiment=quickstart 'method.optimizer.lr=tag(log,interval(1e-4,1e-2))'
    python -m segsuite.tune experiment=cts_dtop_vitt sweep=theta data.batch_size=4,8 tune.trials=30

    All else is as in segsuite.train; a setting is looked for where it has several values, as in a
    sweep, or an interval: interval(0,0.5), int(interval(1,8)), tag(log,interval(1e-5,1e-2)). Each
    trial is a training in a folder of its own below logs/sweeps/tune-NAME, with a table at the end.
    Typed again after it was killed, a search goes on: with the trial that it was in from its last
    checkpoint, with all others that are missing, to the same trials as if nothing had happened.
    Typed in several terminals at once, each takes trials of the one search.
    """
    from segsuite.engine.launch.trials import Tuning

    Tuning(cfg).go_on()


if __name__ == "__main__":
    main()
