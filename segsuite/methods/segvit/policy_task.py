"""The policy of CTS trained alone, on the window labels of any semantic data set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segsuite.core.hints import Above
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Batch
from segsuite.engine.inference.modes import Inference
from segsuite.engine.task import SegmentationTask
from segsuite.methods.segvit.objective import policy_loss
from segsuite.methods.segvit.policy import PolicyNetwork, window_labels
from segsuite.methods.segvit.sharing_metric import SharedRight, SharingScores
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

    `val/pacc` is the accuracy over windows, `val/miou` the mean over the two classes, and
    `val/shared_right` the share of the windows that would share a token and do hold one class,
    beside those of windows at random and of an oracle. Windows are ranked over the whole image,
    as a network does that sees it whole.

    Args:
        windows: the share of tokens that sharing is to save, as `method.sharing.windows` below 1.
    """

    def __init__(
        self,
        *,
        network: PolicyNetwork,
        classes: ClassTable,
        inference: Inference,
        loss: PolicyLoss,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        groups: Sequence[Mapping[str, Any]] = (),
        windows: Annotated[float, Above(0, 0.75)] = 0.3,
    ) -> None:
        super().__init__(
            network=network,
            classes=classes,
            inference=inference,
            loss=loss,
            optimizer=optimizer,
            schedule=schedule,
            groups=groups,
        )
        self.shared_right = SharedRight(saved=windows)

    @property
    def figures(self) -> tuple[str, ...]:
        return (*super().figures, *SharingScores._fields)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.shared_right.reset()

    def on_test_epoch_start(self) -> None:
        super().on_test_epoch_start()
        self.shared_right.reset()

    def log_scores(self, stage: str) -> None:
        super().log_scores(stage)
        scores = self.shared_right.compute()._asdict()
        values = {f"{stage}/{name}": value.float() for name, value in scores.items()}
        self.log_dict(values, sync_dist=True)

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
            logits = self.network(image[None, :, :rows, :columns]).float()
            targets = self.loss.targets(seen)
            self.metric.update(logits.argmax(1).flatten(), targets.flatten())
            self.shared_right.update((logits[:, 1] - logits[:, 0])[0], targets[0])

    def predicted_labels(self, batch: Batch, **_: object) -> list[Tensor]:
        """Windows as (H, W) maps of 0 and 1, for images."""
        found = []
        for image, label in zip(batch["image"], batch["label"], strict=True):
            window = self.loss.window
            rows, columns = (side // window * window for side in image.shape[-2:])
            cells = self.network(image[None, :, :rows, :columns]).argmax(1, keepdim=True)
            size = tuple(label.shape[-2:])
            map_ = torch.nn.functional.interpolate(cells.float(), size=size, mode="nearest-exact")
            found.append(map_[0, 0].long())
        return found
