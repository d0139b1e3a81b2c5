"""`python -m segsuite.train`: trains a network and says how good it became."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point
from segsuite.engine.launch.folders import LAST

if TYPE_CHECKING:
    from segsuite.engine.launch.record import Result
    from segsuite.engine.launch.run import Run


@entry_point("train", goes_on_from=LAST)
def main(cfg: DictConfig) -> float | None:
    """Trains a segmentation network.

    python -m segsuite.train experiment=quickstart
    python -m segsuite.train experiment=cts_dtop_vitt data=camvid data.root=DIR
    python -m segsuite.train experiment=cts_dtop_vitt resume=true
    python -m segsuite.train -m experiment=cts_dtop_vitb sweep=merge_count
    """
    from segsuite.engine.launch.run import Run

    return trained(Run(cfg)).own["optimized"]


def trained(run: "Run") -> "Result":
    """A training from its config to its result."""
    from segsuite.core.seeding import seed_everything
    from segsuite.engine import fitting, introduction, training
    from segsuite.engine.class_weights import settle_class_weights
    from segsuite.engine.launch import record
    from segsuite.engine.loggers.opened import opened
    from segsuite.measure.planned import planned_cost

    cfg = run.config
    seed_everything(cfg.seed)
    training.begin(run)
    resumed = training.resume_point(run)

    data = training.make_data(run, resumed)
    network = training.make_network(run, resumed)
    task = training.make_task(run, network, data)
    settle_class_weights(task, data)
    task.find_teacher(data.classes, tuple(cfg.data.crop_size), allow=run.allow)
    trainer = training.make_trainer(run, data, resumed)
    training.check_task(run, task, trainer, resumed)
    training.record_start(run, resumed)
    cost = planned_cost(network, tuple(cfg.data.crop_size))
    introduction.introduce(cfg, trainer, network, data, cost)

    done = 0 if resumed is None else resumed.step
    with opened(trainer.loggers, record.flat(cfg), step=done, resolved=task.resolved):
        fitting.fit(trainer, task, data, resumed)
        metrics = fitting.final_metrics(run, trainer, task, data)
        return fitting.finish(run, metrics, trainer, task, cost=cost)


if __name__ == "__main__":
    main()
