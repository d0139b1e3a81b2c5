"""TensorBoard, where it is installed."""

from lightning.pytorch.loggers import Logger

from segsuite.core.errors import MissingExtra


def TensorBoardLogger(*, folder: str, metric: str = "test/headline") -> Logger:
    """Lightning's logger for TensorBoard.

    Args:
        metric: the metric that stands beside the config under HPARAMS.

    Raises:
        MissingExtra: tensorboard is not installed.
    """
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise MissingExtra("tensorboard", "tensorboard")
    from segsuite.engine.loggers.tensorboard_events import TensorBoardLogger as WithMetric

    return WithMetric(folder=folder, metric=metric)
