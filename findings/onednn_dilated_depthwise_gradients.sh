#!/usr/bin/env bash
# torch 2.14.1 on a CPU: a dilated depthwise convolution runs forward in oneDNN's depthwise kernel,
# but neither of its two gradients does; they fall back to a matrix product for each channel.
#
# Without dilation all three run in `jit_dw`. With a rate of 2, at the same shapes and the same number
# of products, the forward pass still does, and both gradients say `gemm`. So dilated
# depthwise layers, as DeepLab has them in its backbone and its pyramid, look cheap in inference and
# are several times as dear in training. segsuite trains them on sub-grids that are not dilated
# (segsuite/nn/dilated.py), which gives the same numbers.
#
#   bash findings/onednn_dilated_depthwise_gradients.sh   exits with 0 while the kernels differ; x86
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
cat > "$folder/step.py" <<'PYTHON'
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
rate, repeats = int(sys.argv[1]), int(sys.argv[2])
images = torch.randn(4, 192, 32, 40, requires_grad=True)
weights = torch.randn(192, 1, 3, 3, requires_grad=True)
taken = []
for _ in range(repeats):
    made = F.conv2d(images, weights, padding=rate, dilation=rate, groups=192)
    start = time.process_time()
    torch.autograd.grad(made, (images, weights), torch.ones_like(made))
    taken.append(time.process_time() - start)
print(f"rate {rate}: both gradients in {1e3 * min(taken):.1f} ms, the least of {repeats}")
PYTHON
kernels() {  # the convolutions of one step: direction and implementation
    ONEDNN_VERBOSE=1 "$folder/venv/bin/python" "$folder/step.py" "$1" 1 |
        awk -F, '/primitive,exec,cpu,convolution/ {print $8, $7}'
}
"$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
plain=$(kernels 1)
dilated=$(kernels 2)
printf 'without dilation:\n%s\nat a rate of 2:\n%s\n' "$plain" "$dilated"
"$folder/venv/bin/python" "$folder/step.py" 1 20
"$folder/venv/bin/python" "$folder/step.py" 2 20
if [ "$(grep -c jit_dw <<<"$plain")" = 3 ] && grep -q 'forward_training jit_dw' <<<"$dilated" &&
    [ "$(grep -c '^backward.*gemm' <<<"$dilated")" = 2 ]; then
    echo "as described"
else
    echo "the kernels are no longer those described" && exit 1
fi
