"""TensorBoard, if installed: the config stands beside the metric that runs are compared by."""

from importlib.util import find_spec
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger as Lightnings
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from segsuite.core.errors import MissingExtra


class TensorBoardLogger(Lightnings):
    """Lightning's logger, whose HPARAMS show `metric`, and not -1 in place of one.

    Args:
        folder: folder of the run.
        metric: the metric that stands beside the config under HPARAMS, logged now or at the end.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self, *, folder: str, metric: str = "test/headline") -> None:
        if find_spec("tensorboard") is None:
            raise MissingExtra("tensorboard", "tensorboard")
        super().__init__(save_dir=folder, name="tensorboard", version="", default_hp_metric=False)
        self.metric = metric

    def go_on_at(self, step: int) -> None:
        """Lets rows of that step and later ones be forgotten: they have not happened now.

        To be called before anything is logged.
        """
        self._kwargs["purge_step"] = step

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Writes the config into the events, and as hparams.yaml."""
        from torch.utils.tensorboard.summary import hparams

        super().log_hyperparams(params)
        # Only the metric's name is written: its values are those that are logged under it.
        for summary in hparams(self._sanitize_params(params), {self.metric: 0.0}):
            self.experiment._get_file_writer().add_summary(summary)
        self.save()
