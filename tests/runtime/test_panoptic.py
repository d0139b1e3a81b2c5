"""Panoptic maps without torch are those of tensors, to the last bit; so are exported centres."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.nn.grouping import PanopticMap
from segsuite.ops.centre_list import centre_list
from segsuite.ops.panoptic_grouping import panoptic_maps
from segsuite.runtime import panoptic as module
from segsuite.runtime.panoptic import panoptic_map
from tests.ops.panoptic_cases import THINGS, case


def test_maps_are_those_of_tensors(monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 300)
    for seed in range(200):
        given = case(seed)
        settings = {"things": THINGS if seed % 9 else (), "stuff_area": (0, 40)[seed % 2]}
        heat = torch.from_numpy(given.heat)[None, None]
        centres, scores = centre_list(heat, threshold=0.1, kernel=3, count=(3, 40)[seed % 2])
        probabilities = None if seed % 5 == 0 else torch.from_numpy(given.probabilities)
        expected = panoptic_maps(
            torch.from_numpy(given.labels)[None],
            torch.from_numpy(given.offsets)[None],
            centres,
            scores,
            probabilities=None if probabilities is None else probabilities[None],
            **settings,
        )
        found = panoptic_map(
            given.labels,
            given.offsets,
            centres[0].numpy(),
            scores[0].numpy(),
            probabilities=None if probabilities is None else given.probabilities,
            **settings,
        )
        for name, one, other in zip(found._fields, found, expected, strict=True):
            if other is None:
                assert one is None and probabilities is None
            else:
                assert one.dtype == other.numpy().dtype, name
                assert (one == other[0].numpy()).all(), (seed, name)
        if probabilities is not None:
            maps = {name: tensor[0] for name, tensor in expected._asdict().items()}
            table = PanopticMap(semantic=maps["labels"], **maps).table
            for one, other in zip(found.table, table, strict=True):
                assert one.dtype == other.numpy().dtype and (one == other.numpy()).all(), seed


class Centres(nn.Module):
    """The part of post-processing that goes into a file."""

    def __init__(self, kernel: int, count: int) -> None:
        super().__init__()
        self.kernel, self.count = kernel, count

    def forward(self, heat: Tensor) -> tuple[Tensor, Tensor]:
        return centre_list(heat, kernel=self.kernel, count=self.count)


@pytest.mark.parametrize("size, kernel, count", [((24, 40), 7, 20), ((6, 7), 3, 50)])
def test_the_centre_list_of_a_file_is_that_of_tensors(size, kernel, count):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from segsuite.exporting.onnx_file import onnx_of
    from segsuite.runtime.session import session

    network = Centres(kernel, count)
    random = torch.Generator().manual_seed(0)
    model = onnx_of(network, [torch.zeros(1, 1, *size)], inputs=["heat"])
    run = session(model.SerializeToString(), threads=1)
    for steps in (1, 3, 12, 2**20):  # the fewer, the more of them tie
        heat = torch.randint(0, steps + 1, (1, 1, *size), generator=random) / steps
        expected = network(heat)
        found = run.run(None, {"heat": heat.numpy()})
        for one, other in zip(found, expected, strict=True):
            assert (one == other.numpy()).all() and one.shape == tuple(other.shape)
        assert expected[1].any()
    assert not run.run(None, {"heat": np.zeros((1, 1, *size), np.float32)})[1].any()


def test_more_centres_than_ids_have_room_for():
    with pytest.raises(ConfigError, match="1000 centres"):
        panoptic_map(
            np.zeros((2, 2), np.int64),
            np.zeros((2, 2, 2), np.float32),
            np.zeros((1000, 2), np.int64),
            np.zeros(1000, np.float32),
            things=THINGS,
            stuff_area=0,
        )
