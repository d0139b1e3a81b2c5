"""Folding changes no answer, and does remove the batch norms it can."""

import timm
import torch
from torch import nn

from segsuite.nn.folding import for_inference


def shaken(network: nn.Module) -> nn.Module:
    """The network with batch-norm statistics that are not those of a fresh one."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2 + 0.5)
            module.running_var.copy_(
                torch.rand(module.running_var.shape, generator=generator) + 0.5
            )
    return network.eval().double()


def test_a_policy_encoder_keeps_its_answer_and_loses_its_batch_norms():
    network = shaken(timm.create_model("efficientnet_lite0", features_only=True, out_indices=(2,)))
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    folded = for_inference(network, lambda n: n(images))
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(images)[0], network(images)[0], rtol=1e-9, atol=1e-9)


class Branching(nn.Module):
    """A convolution applied twice, and one whose output is changed before its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.changed = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm_a, self.norm_b = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm_b(self.changed(self.norm_a(self.twice(self.twice(x)))) + 1)


def test_what_cannot_be_folded_is_left_alone():
    network = shaken(Branching())
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    folded = for_inference(network, lambda n: n(images))
    assert sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == 2
    torch.testing.assert_close(folded(images), network(images))
