"""`python -m segsuite.train`: trains a network and says how good it became."""

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point


@entry_point("train")
def main(cfg: DictConfig) -> float | None:
    """Trains a segmentation network.

    python -m segsuite.train experiment=quickstart
    python -m segsuite.train experiment=cts_dtop_vitt data=camvid data.root=DIR
    python -m segsuite.train experiment=cts_dtop_vitt resume=true
    python -m segsuite.train -m experiment=cts_dtop_vitb sweep=merge_count
    """
    from segsuite.core.seeding import seed_everything
    from segsuite.engine import fitting, introduction, training
    from segsuite.engine.class_weights import settle_class_weights
    from segsuite.engine.launch import record
    from segsuite.engine.loggers.opened import opened
    from segsuite.measure.planned import planned_cost

    seed_everything(cfg.seed)
    folder = training.begin(cfg)
    resumed = training.resume_point(cfg, folder)

    data = training.make_data(cfg, resumed)
    network = training.make_network(cfg, resumed)
    task = training.make_task(cfg, network, data)
    settle_class_weights(task, data)
    training.find_teacher(cfg, task, data)
    trainer = training.make_trainer(cfg, data, folder, resumed)
    training.check_task(cfg, task, trainer, resumed)
    training.record_start(cfg, folder, resumed)
    cost = planned_cost(network, tuple(cfg.data.crop_size))
    introduction.introduce(cfg, trainer, network, data, cost)

    done = 0 if resumed is None else resumed.step
    with opened(trainer.loggers, record.flat(cfg), step=done, resolved=task.resolved):
        fitting.fit(trainer, task, data, resumed)
        figures = fitting.final_figures(cfg, trainer, task, data, folder)
    return fitting.finish(cfg, figures, trainer, task, folder)


if __name__ == "__main__":
    main()
