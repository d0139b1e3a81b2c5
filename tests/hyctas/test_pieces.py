"""Networks taken apart: nothing is lost, and nothing counted twice."""

from functools import partial

import numpy as np
import pytest
import torch

from segsuite.measure.operations import count, count_parameters
from segsuite.methods.hyctas.heads import LightHead, QuarterHead
from segsuite.methods.hyctas.network import HybridSegmenter
from segsuite.methods.hyctas.pieces import Pieces
from segsuite.methods.hyctas.space import SearchSpace
from tests.hyctas.made import stirred

SIZE = (64, 96)
SPACE = SearchSpace(layers=6, filters=2, ends=8, widths=(4, 8, 12))
MAKE = partial(HybridSegmenter, head=QuarterHead, num_classes=3, auxiliary_heads="none")


@pytest.fixture
def pieces() -> Pieces:
    return Pieces(lambda genotype: MAKE(genotype=genotype), SPACE, SIZE)


def test_counts_are_those_of_the_whole(pieces):
    generator = np.random.default_rng(0)
    for _ in range(10):
        genotype = SPACE.random(generator)
        with torch.device("meta"):
            network, image = MAKE(genotype=genotype).eval(), torch.empty(1, 3, *SIZE)
        assert pieces.parameters(genotype) == count_parameters(network)
        counted = count(network, image).everything.gmacs
        assert pieces.gmacs(genotype) == pytest.approx(counted, rel=1e-9)


def test_every_piece_of_the_space_is_known(pieces):
    known = {piece.name for piece in pieces.every()}
    generator, met = np.random.default_rng(0), set()
    for _ in range(2000):
        met |= {piece.name for piece in pieces.of(SPACE.random(generator))}
    assert met <= known and len(met) > 0.9 * len(known)


def test_pieces_take_what_the_network_gives_them(pieces):
    """Each runs, and the shape of what it gives is that of what the next one takes."""
    genotype = SPACE.random(np.random.default_rng(3))
    whole = pieces.whole(genotype)
    with torch.no_grad():
        labels = whole.make().eval()(*whole.inputs())
        answers = [piece.make().eval()(*piece.inputs()) for piece in pieces.of(genotype)]
    assert labels.shape == answers[-1].shape == (1, *SIZE)
    taken = {shape for piece in pieces.of(genotype) for shape in piece.shapes}
    for answer in answers[:-1]:
        given = answer if isinstance(answer, tuple) else (answer,)
        # Ends of branches are decoded, and what is decoded is put beside each other.
        assert all(tuple(x.shape) in taken or x.shape[1] == SPACE.channels.end(8) for x in given)


def test_pieces_one_after_the_other_are_the_network(pieces):
    """A branch by itself, from its stem to its labels."""
    genotype = SPACE.extreme(largest=False)
    network = stirred(MAKE(genotype=genotype))
    apart = Pieces(lambda _: network, SPACE, SIZE)
    stem, *_, fusion, head = apart.of(genotype)
    image = torch.randint(256, (1, 3, *SIZE), dtype=torch.uint8)
    with torch.no_grad():
        fine, coarse = stem.make()(image)
        x = coarse
        for cell in network.backbone.cells.values():
            x = cell(x)
        labels = head.make()(fusion.make()(x), fine, coarse)
        assert (labels == network.predict(image).labels(SIZE)).all()


def test_pieces_of_other_heads_classes_and_gates_have_other_names(pieces):
    """So that a table of one is not taken for another."""
    known = {piece.name for piece in pieces.every()}
    for change in ({"num_classes": 4}, {"head": LightHead}, {"gate": False}):
        made = partial(MAKE, **change)
        other = Pieces(lambda genotype, made=made: made(genotype=genotype), SPACE, SIZE)
        assert not known >= {piece.name for piece in other.every()}, change
