#!/usr/bin/env bash
# ONNX Runtime 1.32.0 on a CPU: how long attention takes depends on the numbers that it is given.
#
# Whoever measures a network before it is trained expects the time of the trained one: the shapes are
# the same. With weights as they are drawn, and batch norms that have seen no image, attention scores
# spread over a hundred and more, softmax gives weights of 1e-38 to 1e-45, and the matrix product
# with them takes many times the time: such numbers (denormals) are handled by the processor's
# slow path. Nothing says so. segsuite gives networks with random weights
# statistics before it measures them (segsuite/methods/hyctas/pieces.py).
#
#   bash findings/onnxruntime_large_attention_scores_are_slow.sh   exits with 0 while that is so
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/slow.py" <<'PYTHON'
import time
from statistics import median

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

PLACES, CHANNELS = 768, 64
shapes = {"scores": [1, PLACES, PLACES], "values": [1, PLACES, CHANNELS]}
graph = helper.make_graph(
    [
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "values"], ["out"]),
    ],
    "attention",
    [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
    [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, PLACES, CHANNELS])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
model.ir_version = 10
random = np.random.default_rng(0)
values = random.standard_normal((1, PLACES, CHANNELS), dtype=np.float32)
scores = random.standard_normal((1, PLACES, PLACES), dtype=np.float32)


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(
    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
)
taken: dict[int, list[float]] = {1: [], 30: []}
for _ in range(15):
    for spread, own in taken.items():
        given = {"scores": spread * scores, "values": values}
        begun = time.perf_counter()
        session.run(None, given)
        own.append(time.perf_counter() - begun)
ratio = median(taken[30]) / median(taken[1])
print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
print(f"scores that spread by 30 take {ratio:.1f} times as long as those that spread by 1")
assert ratio > 1.5, ratio
print("as described")
PYTHON
"$folder/venv/bin/python" "$folder/slow.py"
