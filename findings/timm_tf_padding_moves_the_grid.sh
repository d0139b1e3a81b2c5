#!/usr/bin/env bash
# timm 1.0.31: where a point of a `tf_` network's feature map looks depends on the size of the image.
#
# These networks pad as TensorFlow does, for each size anew: evenly in front and behind where a side is
# odd, behind alone where it is even, so that every halving of an even side moves the grid by a pixel
# of that level. Point i of the map at stride 16 sees around pixel 16 i for a side of 353, 16 i + 7 for
# 360 and 16 i + 15 for 352 or 368: trained on crops of one size and asked about another, a head that
# places its points by their number is off by up to 15 pixels, and shapes and `feature_info` are the
# same. efficientnet_lite0, with the same shapes, sees around 16 i always. segsuite lays the padding
# evenly on request (segsuite/nn/backbones/padding.py).
#
#   bash findings/timm_tf_padding_moves_the_grid.sh   exits with 0 while that is so
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.1 timm==1.0.31 numpy==2.4.6
cat > "$folder/grid.py" <<'PYTHON'
import timm
import torch


def first(name: str, side: int) -> float:
    """Where the middle of what point i sees lies, beyond pixel 16 i."""
    network = timm.create_model(name, features_only=True, output_stride=16).double().eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            kernel = torch.ones_like(layer.weight) / layer.weight[0].numel()
            if max(layer.stride) == 1:  # these look evenly: their middle will do
                keep = torch.zeros_like(kernel)
                keep[..., kernel.shape[-2] // 2, kernel.shape[-1] // 2] = 1
                kernel = kernel * keep
            layer.weight.data = kernel
    image = torch.full((1, 3, side, side), 1e-9, dtype=torch.double, requires_grad=True)
    features = network(image)[-1]
    point = features.shape[-1] // 2
    features[0, :, point, point].sum().backward()
    columns = image.grad[0].sum((0, 1)).nonzero()
    return (columns.min() + columns.max()).item() / 2 - 16 * point


print("timm", timm.__version__, "torch", torch.__version__)
found = {}
for name in ("tf_efficientnet_lite0", "efficientnet_lite0"):
    found[name] = {side: first(name, side) for side in (352, 353, 360, 368)}
    print(name, found[name])
moved, still = found.values()
same = moved == {352: 15, 353: 0, 360: 7, 368: 15} and set(still.values()) == {0}
print("as described" if same else "the grid lies otherwise now")
raise SystemExit(not same)
PYTHON
"$folder/venv/bin/python" "$folder/grid.py"
