"""The GPU kernel against the torch path: here in Triton's interpreter, on a GPU where there is one.

The interpreter must be asked for before Triton is imported: hence a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.ops.streaming_cross_entropy import streaming_cross_entropy

pytest.importorskip("triton")

COMPARISON = """
import json, sys, torch
from segsuite.ops.streaming_cross_entropy import streaming_cross_entropy
from segsuite.ops.streaming_upsampled import upsampled_cross_entropy, upsampled_losses

device = sys.argv[1]
worst = {}
def compare(name, run, *leaves):
    found = {}
    for kernel in ("torch", "triton"):
        own = [leaf.to(device).requires_grad_() for leaf in leaves]
        total, count = run(kernel, *own)
        grads = torch.autograd.grad(total / count.clamp(min=1), own)
        found[kernel] = [total.detach() / count.clamp(min=1), *grads]
    worst[name] = max(
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-6))
        for a, b in zip(found["triton"], found["torch"]) if a.numel()
    )

torch.manual_seed(0)
unit = torch.nn.functional.normalize
for name, n, c, d, metric in [("sq", 70, 19, 7, "sq"), ("dot", 33, 130, 20, "dot"),
                              ("wide", 17, 70, 72, "dot"), ("two", 5, 2, 3, "sq"),
                              ("none", 0, 5, 4, "sq"), ("middle", 40, 70, 40, "dot")]:
    x, e, b = unit(torch.randn(n, d)), unit(torch.randn(c, d)), torch.randn(c)
    y = torch.randint(c, (n,)); y[::4] = -1; y = y.to(device)
    if metric == "sq":
        compare(name, lambda k, x, e: streaming_cross_entropy(
            x, e, y, scale=20.0, metric="sq", kernel=k), x, e)
    else:
        compare(name, lambda k, x, e, b: streaming_cross_entropy(
            x, e, y, bias=b, kernel=k), x, e, b)
none = torch.full((6,), -1, device=device)
compare("ignored", lambda k, x, e: streaming_cross_entropy(x, e, none, kernel=k),
        torch.randn(6, 4), torch.randn(5, 4))
y = torch.randint(-1, 23, (2, 13, 11), device=device)
for after in (False, True):
    compare(f"upsampled {after}", lambda k, x, e: upsampled_cross_entropy(
        x, e, y, scale=20.0, metric="sq", normalize_after=after, kernel=k),
        torch.randn(2, 6, 4, 3), torch.randn(23, 6))
weights = torch.linspace(0, 4, 23, device=device)
compare("weighted", lambda k, x, e: upsampled_cross_entropy(
    x, e, y, scale=20.0, metric="sq", weights=weights, kernel=k),
    torch.randn(2, 6, 4, 3), torch.randn(23, 6))
x, e = torch.randn(2, 6, 4, 3, device=device), torch.randn(23, 6, device=device)
each = [upsampled_losses(x, e, y, metric="sq", kernel=k) for k in ("torch", "triton")]
worst["each"] = float((each[0] - each[1]).abs().max())
whole = upsampled_cross_entropy(x, e, y, metric="sq")[0]
worst["sum of each"] = float((each[1].sum() / whole - 1).abs())
assert (each[1][y < 0] == 0).all()
x, e = torch.randn(9, 4, device=device), torch.randn(5, 4, device=device)
y = torch.randint(5, (9,), device=device)
values = [float(streaming_cross_entropy(x, e, y, kernel=k)[0]) for k in ("torch", "triton")]
worst["without gradients"] = abs(values[0] - values[1]) / values[0]
from segsuite.ops.streaming_triton import TritonChunks
chunks = TritonChunks(e, bias=None, scale=1.0, metric="dot", gradients=False)
chunks.add(x[:2], torch.tensor([0, 7], device=device))
assert chunks.sums.loss.isnan(), "a label that no class has must not pass as a loss"
print(json.dumps(worst))
"""


def differences(device: str) -> dict[str, float]:
    environment = {**os.environ, **({"TRITON_INTERPRET": "1"} if device == "cpu" else {})}
    ran = subprocess.run(
        [sys.executable, "-c", COMPARISON, device],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_kernel_is_the_torch_path_in_the_interpreter():
    worst = differences("cpu")
    assert set(worst) > {"sq", "dot", "wide", "two", "ignored", "upsampled True"}
    assert all(value < 2e-5 for value in worst.values()), worst


@pytest.mark.gpu
def test_the_kernel_is_the_torch_path_on_a_gpu():
    worst = differences("cuda")
    assert all(value < 1e-4 for value in worst.values()), worst


@pytest.mark.parametrize(
    ("dtype", "metric", "said"),
    [
        (torch.float32, "dot", "needs a GPU"),
        (torch.float64, "dot", "works in float32"),
        (torch.float32, "l2", "no distances that are not squared"),
    ],
)
def test_where_it_cannot_run_it_says_why(dtype, metric, said, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    x, e = torch.zeros(3, 2, dtype=dtype), torch.zeros(4, 2, dtype=dtype)
    labels = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ConfigError, match=said) as error:
        streaming_cross_entropy(x, e, labels, metric=metric, kernel="triton")
    assert "method.loss.kernel=torch" in str(error.value)
    assert streaming_cross_entropy(x, e, labels, metric=metric, kernel="auto")[1] == 3


COMPILATION = """
import re, subprocess, sys, tempfile, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from segsuite.ops.streaming_triton import _blocks, _kernel

floats = "x_ptr table_ptr offset_ptr margin_ptr weights_ptr gx_ptr gtable_ptr gclasses_ptr".split()
types = {**dict.fromkeys(floats, "*fp32"), "labels_ptr": "*i64", "slope": "fp32",
         **dict.fromkeys(["count", "classes", "dim"], "i32")}
signature = {n: types.get(n, "constexpr") for n in _kernel.arg_names}
target = GPUTarget("cuda", 90, 32)
tool = triton.knobs.nvidia.cuobjdump.path
for width in map(int, sys.argv[1:]):
    pixels, classes, warps = _blocks(width)
    sizes = {"GRADIENTS": True, "WEIGHTED": True, "PIXELS": pixels, "CLASSES": classes,
             "WIDTH": width}
    source = ASTSource(fn=_kernel, signature=signature, constexprs=sizes)
    built = triton.compile(source, target=target, options={"num_warps": warps})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(built.asm["cubin"])
        file.flush()
        asked = [tool, "-res-usage", file.name]
        told = subprocess.run(asked, capture_output=True, text=True).stdout
    print(built.metadata.shared, re.search(r"STACK:(\\d+)", told)[1])
"""


def test_it_compiles_for_a_gpu_that_is_not_here():
    """To machine code for an H100, with shared memory that smaller ones have, too.

    What does not fit the registers is spilled to memory, of which the code knows the bytes.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    ran = subprocess.run(
        [sys.executable, "-c", COMPILATION, "16", "64"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr
    narrow, wide = ran.stdout.splitlines()
    for told in (narrow, wide):
        shared, spilled = map(int, told.split())
        assert shared < 48 * 1024 and spilled <= 64
