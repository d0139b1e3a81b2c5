"""Networks that share and prune tokens as ONNX files: static, and right on images never seen."""

from functools import partial

import pytest
import torch
from torch import nn

from segsuite.exporting.formats import formats
from segsuite.exporting.graph import Graph
from segsuite.exporting.parity import compared
from segsuite.methods.segvit.attention_to_mask import AtmSingle
from segsuite.methods.segvit.exits import AtmExit, LinearExit
from segsuite.methods.segvit.network import SegVit
from segsuite.methods.segvit.pixel_sharing import DeviationSharing, EntropySharing
from segsuite.methods.segvit.refinement import PatchRefinement
from segsuite.methods.segvit.token_pruning import TokenPruning
from segsuite.methods.segvit.token_sharing import ContentAwareSharing, TokenSharing
from segsuite.nn.backbones.vit import VisionTransformer
from segsuite.nn.normalize import Normalize

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

SIZE = (64, 128)
DYNAMIC = {"NonZero", "If", "Loop", "Scan", "Unique", "Shape", "Compress", "SequenceAt"}


def policy() -> ContentAwareSharing:
    """One size of windows, chosen by a convolution."""
    network = nn.Sequential(Normalize(mean=(127.5,), std=(127.5,)), nn.Conv2d(3, 2, 32, 32))
    return ContentAwareSharing(windows=3, image_size=SIZE, network=network)


def pixels() -> DeviationSharing:
    """Two sizes of windows, chosen by the image itself."""
    return DeviationSharing(windows=2, large_windows=1, image_size=SIZE)


def entropy() -> EntropySharing:
    """Two sizes of windows, chosen by a histogram of grey levels."""
    return EntropySharing(windows=2, large_windows=1, image_size=SIZE, levels=8)


def hybrid(scorer: type, context: str, sharing: TokenSharing) -> SegVit:
    torch.manual_seed(0)
    net = SegVit(
        backbone=VisionTransformer(dim=24, depth=3, heads=2, image_size=SIZE),
        head=AtmSingle(in_dim=24, num_classes=5, dim=16, heads=2, layers=1),
        num_classes=5,
        sharing=sharing,
        refinement=PatchRefinement(in_dim=24, num_classes=5, dim=12),
        pruning=TokenPruning(
            after=[1, 2],
            scorer=partial(scorer),
            in_dim=24,
            num_classes=5,
            depth=3,
            image_size=SIZE,
            mode="static",
            budgets=[14, 9],
            keep_per_class=2,
            context=context,
        ),
    )
    for parameter in net.parameters():  # wide enough that tokens differ
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    return net.eval()


@pytest.mark.parametrize(
    ("scorer", "context", "sharing"),
    [
        (LinearExit, "drop", pixels),
        (LinearExit, "drop", entropy),
        (partial(AtmExit, layers=1), "kv", policy),
    ],
)
def test_static_hybrids_are_static_and_answer_alike_on_images_never_seen(
    scorer, context, sharing, tmp_path
):
    network = hybrid(scorer, context, sharing())
    (float_,) = formats(["onnx"])
    graph = Graph(network, size=SIZE, output="labels")
    made = float_.made(graph, tmp_path / "a.onnx", None, opset=18, threads=1)
    kinds = {node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node}
    assert "TopK" in kinds and not kinds & DYNAMIC
    coarse = torch.rand((6, 3, 4, 8), generator=torch.Generator().manual_seed(7)) * 255
    others = torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear").to(torch.uint8)
    found = compared(made.run, network, graph, others, scores_behind=made.scores)
    assert found.difference < 1e-5 * found.scale and found.agreement > 0.9999  # but for ties
    with torch.no_grad():
        kept = [network.predict(other[None]).trace.stages[-1].slots for other in others]
    assert len({str(slots.sort().values) for slots in kept}) > 1  # they choose differently


def test_a_network_that_makes_its_images_smaller_answers_alike(tmp_path):
    torch.manual_seed(0)
    network = SegVit(
        backbone=VisionTransformer(dim=24, depth=3, heads=2, image_size=(48, 96)),
        head=AtmSingle(in_dim=24, num_classes=5, dim=16, heads=2, layers=1),
        num_classes=5,
        input_scale=0.7,
    ).eval()
    (float_,) = formats(["onnx"])
    graph = Graph(network, size=SIZE, output="labels")
    made = float_.made(graph, tmp_path / "a.onnx", None, opset=18, threads=1)
    images = torch.randint(256, (4, 3, *SIZE), generator=torch.Generator().manual_seed(7))
    found = compared(made.run, network, graph, images.to(torch.uint8), scores_behind=made.scores)
    assert found.difference < 1e-4 * found.scale and found.agreement > 0.999
