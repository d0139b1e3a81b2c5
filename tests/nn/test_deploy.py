"""Deployed networks of the mobile family answer as they did."""

import pytest
import torch
from torch import nn

from segsuite.nn.deploy import deployed
from segsuite.nn.heads.deeplab_basic import DeployedBasicHead
from segsuite.nn.onednn import FusedConvolution
from tests.mobile.made import network, stirred


@pytest.mark.parametrize("head", ["basic", "dpc"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_same_scores_and_labels(head, layout):
    plain = stirred(network(f"method/head={head}", "method.backbone.width=0.5", classes=7))
    with torch.no_grad():
        plain.exit.classify.weight.mul_(100)  # labels that rounding does not decide
    images = torch.randint(0, 256, (1, 3, 97, 80), generator=torch.Generator().manual_seed(0))
    ready = deployed(plain, lambda n: n.predict(images), memory_format=layout)
    assert any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in ready.modules())
    assert isinstance(ready.head, DeployedBasicHead) == (head == "basic")
    convolutions = [m for m in ready.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.weight.is_contiguous(memory_format=layout) for m in convolutions)
    fused = [m for m in ready.modules() if isinstance(m, FusedConvolution)]
    assert len(fused) == (len(convolutions) if layout == torch.channels_last else 0)
    assert fused == [] or not any(isinstance(m, nn.ReLU) for m in ready.modules())
    with torch.no_grad():
        expected, found = plain.predict(images), ready.predict(images)
    scale = expected.grid_scores.abs().max()
    torch.testing.assert_close(
        found.grid_scores / scale, expected.grid_scores / scale, rtol=0, atol=1e-4
    )
    assert (found.labels((97, 80)) == expected.labels((97, 80))).double().mean() > 0.9999
