"""The class-agnostic policy network of CTS: does a 2x2 window of patches hold one class?

Paper: "Content-aware Token Sharing" (CVPR 2023), section 3.3; the hybrid's equation 1.3.
"""

import torch
from torch import Tensor, nn

from segsuite.core.checkpoint import (
    CONFIG_KEY,
    checkpoint_config,
    load_weights,
    network_state,
    part,
    read_checkpoint,
)
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.hints import Count, Positive
from segsuite.core.labels import IGNORE
from segsuite.nn.backbones.feature_maps import load_body
from segsuite.nn.backbones.hub import pretrained_file
from segsuite.nn.backbones.lite_weights import PYPI, packaged_file
from segsuite.nn.backbones.weight_files import KEY, read_tensors
from segsuite.nn.normalize import Normalize
from segsuite.ops.patches import halved


def window_labels(labels: Tensor, *, window: int = 32, ignore_border: bool = False) -> Tensor:
    """1 where a window holds one label value, 0 where it holds more.

    A window that is all ignored counts as one value; one class beside ignored pixels counts as two,
    unless `ignore_border` (the original's rule for ADE20K) and the window lies on the image's
    border: then the answer is IGNORE. Pixels that do not fill a window are left out.

    Shapes: labels (B, H, W) int64 -> (B, H // window, W // window) int64
    """
    rows, columns = labels.shape[-2] // window, labels.shape[-1] // window
    cells = labels[:, : rows * window, : columns * window]
    cells = cells.unflatten(2, (columns, window)).unflatten(1, (rows, window))
    low, high = cells.amin((2, 4)), cells.amax((2, 4))
    uniform = (low == high).long()
    if not ignore_border:
        return uniform
    # The smallest real label: where it equals the largest, one class stands beside ignored pixels.
    real = torch.where(cells == IGNORE, torch.iinfo(cells.dtype).max, cells).amin((2, 4))
    mixed = (low == IGNORE) & (real == high)
    border = torch.zeros_like(mixed)
    for edge in (0, -1):  # a list of indices would be copied to the device
        border[:, edge] = True
        border[:, :, edge] = True
    return uniform.masked_fill(mixed & border, IGNORE)


class PolicyNetwork(nn.Module):
    """Two logits (mixed, uniform) for every window of 2x2 patches.

    Args:
        encoder: a timm network with feature maps. The paper's is `efficientnet_lite0`, cut after
            its last block, at stride 32: 2,959,490 parameters, 1.97 GMACs at 512x512.
        stage: which feature map is read, counted from 0 at stride 2.
        scale: factor that the image is shrunk by first. Stride 16 at half size has the same grid
            for a sixth of the operations.
        weights: "timm" for the encoder's ImageNet weights from the hub, "pypi" for those of
            `tf_efficientnet_lite0` to 2 in packages, a file of a trained policy, or "none".

    Raises:
        ConfigError: the grid does not have one cell per window.
    """

    def __init__(
        self,
        *,
        encoder: str = "efficientnet_lite0",
        stage: int = 4,
        scale: Positive = 1.0,
        weights: str = "timm",
        window: Count = 32,
    ) -> None:
        super().__init__()
        import timm

        self.encoder, self.scale, self.weights, self.window = encoder, scale, weights, window
        self.num_classes, self.size_divisor, self.pad_value = 2, window, (127.5,) * 3
        self.normalize = Normalize(mean=(127.5,) * 3, std=(127.5,) * 3)
        self.backbone = timm.create_model(encoder, features_only=True, out_indices=(stage,))
        info = self.backbone.feature_info
        if info.reduction()[-1] != window * scale:
            raise ConfigError(
                f"method.sharing.network: stage {stage} of {encoder} at scale {scale} has one cell "
                f"per {info.reduction()[-1] / scale:g} pixels, but windows are {window} wide; "
                "choose stage and scale so that stride / scale is the window"
            )
        # timm keeps, and runs, blocks behind the last map that is asked for.
        last = info.module_name()[-1]
        if last.startswith("blocks."):
            del self.backbone.blocks[int(last.split(".")[1]) + 1 :]
        self.head = nn.Conv2d(info.channels()[-1], 2, kernel_size=1)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 2, H / 32, W / 32) logits.

        Shapes: images (B, 3, H, W) in 0..255
        """
        # Averaged before it is normalised, which is the same, of fewer pixels.
        x = self.normalize(shrunk(images.float(), round(1 / self.scale)))
        return self.head(self.backbone(x.contiguous(memory_format=torch.channels_last))[-1])

    def load_initial_weights(self, *, key: str = KEY) -> None:
        """Loads what `weights` names into the encoder, or a whole policy from a file.

        Args:
            key: the config key of `weights`, for messages.
        """
        if self.weights == "none":
            return
        if self.weights == PYPI:
            path = packaged_file(self.encoder, key=key, network_key=_encoder_key(key))
            load_body(self.backbone, read_tensors(path), source=f"{key}={PYPI}", cut=True)
            return
        if self.weights != "timm":
            self.load_policy(self.weights, key=key)
            return
        path = pretrained_file(self.encoder, key=key)
        state = read_tensors(path)
        own = self.backbone.state_dict()
        load_weights(
            self.backbone,
            {name: value for name, value in state.items() if name in own},
            source=f"timm's {self.encoder}",
        )

    def load_policy(self, path: str, *, key: str = "method.sharing.policy") -> None:
        """Loads a trained policy: a checkpoint of ours, or the original's flat `model.pth`.

        Args:
            key: the config key that names the file, for messages.

        Raises:
            CheckpointError: the file is absent or holds another network.
        """
        content = read_checkpoint(path)
        ours = CONFIG_KEY in content or "state_dict" in content
        state = network_state(content, path) if ours else content
        made = (
            checkpoint_config(content, path)["method"]["network"] if CONFIG_KEY in content else {}
        )
        kind = made.get("_target_")
        other = kind is not None and kind.rsplit(".", 1)[-1] != type(self).__name__
        if other or not any(str(name).startswith("head.") for name in state):
            without = "joint" if key == "method.sharing.policy" else "none"
            raise CheckpointError(
                f"{key}={path} is not a policy"
                + (f" but a checkpoint of {kind}" if kind else "")
                + f"; train one with experiment=cts_policy_ade20k, or type {key}={without}"
            )
        # The original's files, which say nothing of their encoder, are not of TensorFlow's twin.
        encoder = made.get("encoder", self.encoder.removeprefix("tf_"))
        if encoder != self.encoder:  # twins have equal names and shapes, and pad otherwise
            raise CheckpointError(
                f"{key}={path} is a policy of {encoder}, not of {self.encoder}; type "
                f"{_encoder_key(key)}={encoder}"
            )
        tensors = {name: part(state, name, Tensor, path) for name in state}
        load_weights(self, tensors, source=path)


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Averaged over squares of `factor` pixels.

    Shapes: images (B, C, H, W), floating point -> (B, C, H / factor, W / factor)
    """
    while factor % 2 == 0:
        images, factor = halved(images), factor // 2
    return images if factor == 1 else nn.functional.avg_pool2d(images, factor)


def _encoder_key(key: str) -> str:
    """Where the encoder is typed whose weights are typed as `key`."""
    return "method.network.encoder" if key == KEY else "method.sharing.network.encoder"
