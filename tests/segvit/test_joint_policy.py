"""A policy that trains along gets a gradient whatever the number of windows."""

import pytest
import torch

from segsuite.core.build import build
from segsuite.core.labels import IGNORE
from segsuite.engine.launch.entry_point import compose
from tests.segvit.made import SMALL


@pytest.mark.parametrize("windows", [0, 2])
def test_every_parameter_of_the_policy_gets_a_gradient(windows):
    """DDP waits for parameters that get none."""
    cfg = compose(
        "train",
        [
            *("experiment=cts_dtop_vitt", "method/sharing=cts_small", *SMALL),
            *(f"method.sharing.windows={windows}", "method.pruning.after=[2]"),
        ],
    )
    network = build(cfg.method.network, path="method.network").train()
    loss = build(cfg.method.loss, path="method.loss")
    labels = torch.randint(IGNORE, 19, (2, 64, 96))
    sum(loss(network(torch.rand(2, 3, 64, 96) * 255), labels).values()).backward()
    without = [n for n, p in network.sharing.named_parameters() if p.grad is None]
    assert not without


def test_the_windows_of_the_policy_are_those_of_the_patches():
    """Patches of 8 have windows of 16 pixels: stride 16 of the encoder is the grid."""
    cfg = compose(
        "train",
        [
            *("experiment=cts_vitt", *SMALL, "method.backbone.patch=8"),
            *("method.sharing.network.stage=3", "method.sharing.windows=4"),
        ],
    )
    network = build(cfg.method.network, path="method.network").eval()
    assert network.sharing.policy.window == 16
    with torch.inference_mode():
        assert network.predict(torch.zeros(1, 3, 64, 96)).labels((64, 96)).shape == (1, 64, 96)
