"""ESSNet: DeepLabV3+ whose last layer is a product with all classes, or points in a small space.

Paper: "Scaling Semantic Segmentation Beyond 1K Classes on a Single GPU" (Jain et al., ICCV 2021).
The network stops before the classes: losses and predictions go through them in chunks.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from segsuite.core.hints import Count, Positive
from segsuite.core.sizes import Size
from segsuite.methods.essnet.heads import EmbeddingHead, LinearHead
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.methods.essnet.predictions import EssnetPrediction
from segsuite.nn.backbones.feature_maps import FeatureMaps
from segsuite.nn.colours import load_initial_weights, stated
from segsuite.nn.heads.deeplab_v3plus import DeepLabV3Plus
from segsuite.nn.normalize import Normalize
from segsuite.nn.segmenter import Prediction, Segmenter
from segsuite.ops.class_argmax import upsampled_class_argmax


class Essnet(Segmenter):
    """A backbone with a DeepLabV3+ decoder, and a head for any number of classes.

    Args:
        decoder: makes the decoder; takes `in_channels`, the channels of the backbone's two maps.
        head: makes the head; takes `in_channels`, the channels of the decoder's map.
        mean, std: mean and standard deviation of the pixels, in 0..255; ImageNet's unless said
            otherwise. Pretrained weights that expect others are brought to them.
        weights_mean, weights_std: those that the backbone's initial weights were trained with; as
            it says itself unless both are given.
    """

    def __init__(
        self,
        *,
        backbone: FeatureMaps,
        decoder: Callable[..., DeepLabV3Plus],
        head: Callable[..., LinearHead | EmbeddingHead],
        num_classes: Count,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[Positive] = (58.395, 57.12, 57.375),
        weights_mean: Sequence[float] | None = None,
        weights_std: Sequence[Positive] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.pad_value = tuple(mean)
        self._given = (tuple(mean), tuple(std))
        self._trained = stated(weights_mean, weights_std)
        self.normalize = Normalize(mean=tuple(mean), std=tuple(std))
        self.backbone = backbone
        self.decoder = decoder(in_channels=backbone.channels)
        self.head = head(in_channels=self.decoder.out_channels, num_classes=num_classes)
        self.to(memory_format=torch.channels_last)  # as `forward` lays its pixels

    def forward(self, images: Tensor) -> EssnetOutput:
        """Pixel features at stride 4 and class vectors.

        Shapes: images (B, 3, H, W) in 0..255; any size
        """
        # Convolutions work in this layout, a third faster.
        pixels = self.normalize(images).contiguous(memory_format=torch.channels_last)
        return self.head(self.decoder(*self.backbone(pixels)))

    def predict(self, images: Tensor) -> Prediction:
        """The best class of every pixel."""
        return EssnetPrediction(self(images))

    def evidence(self, prediction: EssnetPrediction, size: Size) -> Tensor:
        """(B, E, H, W): pixel features where these are fewer than classes, otherwise scores.

        Logits are affine in the features, so that the mean of features decides as the mean of
        logits does (for `l2`, the code's metric, that is a departure).
        """
        features = prediction.output.features.shape[1]
        if features < self.num_classes:
            return prediction.features(size)
        return prediction.scores(size)

    def decide(self, evidence: Tensor, size: Size) -> Tensor:
        """(B, *size) int64 class ids."""
        if evidence.shape[1] == self.num_classes:  # scores
            return super().decide(evidence, size)
        output = EssnetOutput(features=evidence, **self.head.classes())
        return upsampled_class_argmax(evidence, output.table, output.offset(), size)

    def log_probabilities(self, output: EssnetOutput, size: Size) -> Tensor:
        """(B, K, *size); all logits of that size, which many classes make large."""
        return EssnetPrediction(output).scores(size).log_softmax(1)

    def load_initial_weights(self) -> None:
        """Loads the backbone's pretrained weights, as its config names them.

        Raises:
            ConfigError: these expect other colours, and cannot be brought to ours.
        """
        load_initial_weights(self.backbone, trained=self._trained, given=self._given)
