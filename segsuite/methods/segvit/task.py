"""SegViT's task: the common one, but oracle sharing may see the truth."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.data.samples import Batch
from segsuite.engine.inference.modes import Watcher
from segsuite.engine.task import SegmentationTask
from segsuite.methods.segvit.token_sharing import OracleSharing


class SegVitTask(SegmentationTask):
    """Training and evaluation of SegViT; labels ride along as a fourth channel for the oracle."""

    def seen(self, batch: Batch) -> Tensor:
        """(B, 3, H, W), or (B, 4, H, W) for the oracle."""
        images = batch["image"]
        return with_labels(images, batch["label"]) if self._oracle else images

    def predicted_labels(self, batch: Batch, *, watch: Watcher | None = None) -> list[Tensor]:
        if self._oracle:
            pairs = zip(batch["image"], batch["label"], strict=True)
            seen = [with_labels(i[None], fitted(label, i)[None])[0] for i, label in pairs]
            batch = {**batch, "image": seen}
        return super().predicted_labels(batch, watch=watch)

    @property
    def _oracle(self) -> bool:
        return isinstance(self.network.sharing, OracleSharing)


def with_labels(images: Tensor, labels: Tensor) -> Tensor:
    """Images with their labels as a fourth channel.

    Shapes: images (B, 3, H, W), labels (B, H, W) -> (B, 4, H, W) float32
    """
    return torch.cat([images.float(), labels.unsqueeze(1).float()], dim=1)


def fitted(label: Tensor, image: Tensor) -> Tensor:
    """A label map brought to the size of an image, or of another map, by nearest neighbours.

    Shapes: label (H, W) int64, image (..., h, w) -> (h, w) int64
    """
    size = tuple(image.shape[-2:])
    return F.interpolate(label[None, None].float(), size=size, mode="nearest-exact")[0, 0].long()
