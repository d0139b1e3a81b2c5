"""TensorBoard's files, read back."""

import pytest
import yaml

from segsuite.engine.loggers import TensorBoardLogger
from segsuite.engine.loggers.opened import opened


def test_the_config_stands_beside_the_figure_that_runs_are_compared_by(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = {"method.pruning.theta": 0.9, "method.pruning.after": [6, 8], "sweep": None}
    logger = TensorBoardLogger(folder=str(tmp_path), metric="test/miou")
    with opened([logger], config):
        logger.log_metrics({"test/miou": 0.5}, step=3)
        logger.save()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("test/miou")] == [(3, 0.5)], "no made-up -1"
    assert events.Tags()["scalars"] == ["test/miou"]
    begun = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"method.pruning.theta" in begun
    resumed = TensorBoardLogger(folder=str(tmp_path), metric="test/miou")
    with opened([resumed], config, step=2):
        resumed.log_metrics({"test/miou": 0.25}, step=2)
        resumed.save()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("test/miou")] == [(2, 0.25)], "3 is undone"
    assert yaml.safe_load((tmp_path / "tensorboard" / "hparams.yaml").read_text()) == config
