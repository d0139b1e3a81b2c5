"""HyCTAS' task: the common one, with drop path that rises as training goes on."""

from typing import Any

from segsuite.data.samples import Batch
from segsuite.engine.task import SegmentationTask


class HybridTask(SegmentationTask):
    """Training and evaluation of a `HybridSegmenter`.

    Scheduled drop path (section 4.2) rises from 0 to `method.drop_path`, by iterations; in the
    released code it does nothing, since what it computes is thrown away.
    """

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> Any:
        """Sets the probability of the iteration that begins."""
        self.network.raise_drop_path(self.trainer.global_step / self.trainer.max_steps)
