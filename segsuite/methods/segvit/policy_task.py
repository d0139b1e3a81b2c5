"""The policy of CTS trained alone, on the window labels of any semantic data set."""

import torch
from torch import Tensor, nn

from segsuite.core.contract import Batch
from segsuite.engine.task import SegmentationTask
from segsuite.methods.segvit.objective import policy_loss
from segsuite.methods.segvit.policy import window_labels
from segsuite.methods.segvit.task import fitted


class PolicyLoss(nn.Module):
    """Two-way cross-entropy over the windows, without weighting or balancing (CTS, section 3.3).

    Args:
        ignore_border: leave out windows on the border that mix one class with ignored pixels, as
            the original does for ADE20K.
    """

    def __init__(self, *, ignore_border: bool = False, window: int = 32) -> None:
        super().__init__()
        self.ignore_border, self.window = ignore_border, window

    def targets(self, labels: Tensor) -> Tensor:
        """(B, H / window, W / window): 1 uniform, 0 mixed, IGNORE."""
        return window_labels(labels, window=self.window, ignore_border=self.ignore_border)

    def forward(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"policy": policy_loss(logits, self.targets(labels))}


class PolicyTask(SegmentationTask):
    """Trains a `PolicyNetwork`; its two classes are windows that are mixed and uniform.

    `val/pacc` is the accuracy over windows, `val/miou` the mean over the two classes.
    """

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("mixed", "uniform")

    @property
    def class_groups(self) -> tuple[str, ...]:
        return ()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        window = self.loss.window
        for image, label in zip(batch["image"], batch["label"], strict=True):
            rows, columns = (side // window * window for side in image.shape[-2:])
            seen = fitted(label, image)[None, :rows, :columns]
            found = self.network(image[None, :, :rows, :columns]).argmax(1)
            self.metric.update(found.flatten(), self.loss.targets(seen).flatten())

    def predicted_labels(self, batch: Batch, **_: object) -> list[Tensor]:
        """Windows as (H, W) maps of 0 and 1, for pictures."""
        found = []
        for image, label in zip(batch["image"], batch["label"], strict=True):
            window = self.loss.window
            rows, columns = (side // window * window for side in image.shape[-2:])
            cells = self.network(image[None, :, :rows, :columns]).argmax(1, keepdim=True)
            size = tuple(label.shape[-2:])
            map_ = torch.nn.functional.interpolate(cells.float(), size=size, mode="nearest-exact")
            found.append(map_[0, 0].long())
        return found
