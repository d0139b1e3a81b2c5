import pytest
import torch
import torch.nn.functional as F

from segsuite.ops import column_argmax, upsample
from segsuite.ops.bilinear import bilinear_matrix
from segsuite.ops.column_argmax import argmax_by_columns
from segsuite.ops.upsample import argmax_by_cells, argmax_by_classes, upsampled_argmax

SIZES = [
    ((6, 7), (96, 112)),
    ((6, 7), (83, 61)),
    ((5, 5), (5, 5)),
    ((8, 6), (5, 4)),
    ((1, 3), (9, 1)),
]
WAYS = [argmax_by_classes, argmax_by_cells, argmax_by_columns]


def smooth(classes, grid, seed=0):
    """Regions of a class each, with soft borders, as a trained network gives them."""
    generator = torch.Generator().manual_seed(seed)
    regions = torch.randint(classes, (2, 1, 3, 3), generator=generator)
    regions = F.interpolate(regions.float(), size=grid)[:, 0].long()
    logits = torch.randn(2, classes, *grid, generator=generator) - 3
    logits.scatter_add_(1, regions[:, None], torch.full((2, 1, *grid), 6.0))
    return F.avg_pool2d(logits, 3, stride=1, padding=1, count_include_pad=False).sigmoid()


def uneven(classes, grid, seed=0):
    return torch.rand(2, classes, *grid, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("maps", [smooth, uneven])
@pytest.mark.parametrize("classes", [1, 2, 8, 9, 40])
@pytest.mark.parametrize(("grid", "size"), SIZES)
def test_labels_are_those_of_the_upsampled_map(way, maps, classes, grid, size):
    """In double precision, so that only true ties could tell the two apart."""
    scores = maps(classes, grid).double()
    full = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    assert torch.equal(way(scores, size), full.argmax(dim=1))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("maps", [smooth, uneven])
@pytest.mark.parametrize("classes", [1, 8, 9, 40])
@pytest.mark.parametrize(("grid", "size"), [*SIZES, ((6, 7), (81, 97)), ((1, 1), (5, 4))])
def test_corners_may_be_aligned(way, maps, classes, grid, size):
    scores = maps(classes, grid).double()
    full = F.interpolate(scores, size=size, mode="bilinear", align_corners=True)
    assert torch.equal(way(scores, size, align_corners=True), full.argmax(dim=1))


@pytest.mark.parametrize("way", [argmax_by_cells, argmax_by_columns])
@pytest.mark.parametrize("maps", [smooth, uneven])
def test_single_precision_differs_only_where_scores_tie_within_rounding(way, maps):
    scores = maps(40, (12, 12))
    full = F.interpolate(scores, size=(192, 192), mode="bilinear")
    ours = full.gather(1, way(scores, (192, 192)).unsqueeze(1))
    assert (full.amax(dim=1, keepdim=True) - ours).max() <= 2e-6


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.half])
def test_half_precision_scores_are_upsampled_in_single(way, kind):
    scores = smooth(12, (6, 7)).to(kind)
    assert torch.equal(way(scores, (400, 300)), way(scores.float(), (400, 300)))


@pytest.mark.parametrize("way", WAYS)
def test_autocast_changes_nothing(way):
    scores = uneven(12, (6, 7))
    with torch.autocast("cpu", torch.bfloat16):
        found = way(scores, (40, 30))
    assert torch.equal(found, way(scores, (40, 30)))


@pytest.mark.parametrize("way", WAYS)
def test_exact_ties_go_to_the_lowest_class(way):
    scores = torch.zeros(1, 20, 3, 3)
    scores[0, 7:9, 0] = 1.0
    labels = way(scores, (12, 12))
    assert (labels[0, 0] == 7).all() and (labels[0, -1] == 0).all()


@pytest.mark.parametrize(
    ("way", "where"), [(argmax_by_cells, upsample), (argmax_by_columns, column_argmax)]
)
@pytest.mark.parametrize("at_once", [1, 2**7])
def test_the_parts_that_the_work_is_cut_into_do_not_matter(way, where, at_once, monkeypatch):
    scores = uneven(12, (5, 6)).double()
    whole = way(scores, (40, 44))
    monkeypatch.setattr(where, "_AT_ONCE", at_once)
    assert torch.equal(way(scores, (40, 44)), whole)


@pytest.mark.parametrize(
    ("maps", "classes", "taken"),
    [
        (smooth, 40, "argmax_by_cells"),
        (uneven, 40, "argmax_by_columns"),
        (uneven, 12, "argmax_by_columns"),
        (uneven, 5, "argmax_by_classes"),
        (smooth, 2, "argmax_by_classes"),
    ],
)
def test_the_quickest_way_is_taken(maps, classes, taken, monkeypatch):
    called = []
    for way in WAYS:
        name = way.__name__
        monkeypatch.setattr(upsample, name, lambda *a, name=name, **k: called.append(name))
    upsampled_argmax(maps(classes, (16, 17)), (256, 272))
    assert called == [taken]


def test_a_point_without_neighbours_has_labels():
    for classes in (2, 12, 40):
        scores = uneven(classes, (1, 1))
        winners = scores.argmax(dim=1).expand(-1, 64, 65)
        assert torch.equal(upsampled_argmax(scores, (64, 65)), winners)


def test_a_cell_is_narrowed_down_only_to_classes_that_include_the_winner():
    """Adversarial: a class that is second at every corner wins in the middle."""
    scores = torch.zeros(1, 30, 2, 2)
    scores[0, torch.arange(4), [0, 0, 1, 1], [0, 1, 0, 1]] = 1.0
    scores[0, 25] = 0.4
    full = F.interpolate(scores, size=(32, 32), mode="bilinear")
    assert (full.argmax(1) == 25).any()
    assert torch.equal(argmax_by_cells(scores, (32, 32)), full.argmax(1))


def test_cells_are_for_cpus_and_classes_for_everything_that_is_traced():
    scores = smooth(12, (6, 7))
    program = torch.export.export(_Labels(), (scores,))
    assert not any("nonzero" in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(scores), upsampled_argmax(scores, (96, 112)))
    assert torch.equal(
        upsampled_argmax(scores, (96, 112), static=True),
        upsampled_argmax(scores, (96, 112), static=False),
    )


class _Labels(torch.nn.Module):
    def forward(self, scores):
        return upsampled_argmax(scores, (96, 112))


@pytest.mark.parametrize(("source", "target"), [(6, 96), (7, 83), (8, 5), (1, 4), (5, 5)])
def test_the_bilinear_matrix_is_what_interpolate_does(source, target):
    signal = torch.randn(1, 1, source, 1).double()
    expected = F.interpolate(signal, size=(target, 1), mode="bilinear", align_corners=False)
    matrix = bilinear_matrix(source, target, dtype=torch.double)
    torch.testing.assert_close(matrix @ signal[0, 0], expected[0, 0])
