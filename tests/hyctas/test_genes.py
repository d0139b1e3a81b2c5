"""Vectors of genes: there and back, and whatever an algorithm makes of them becomes a genotype."""

import numpy as np
import pytest

from segsuite.methods.hyctas.genes import Genes
from segsuite.methods.hyctas.genotype import SCALES
from segsuite.methods.hyctas.space import SearchSpace

SAMPLES = 10_000


@pytest.fixture
def genes() -> Genes:
    return Genes(SearchSpace(layers=8, filters=4))


def test_as_many_genes_as_the_space_has_choices(genes):
    layers = genes.space.layers
    assert len(genes.most) == 3 + 3 + 3 * layers + 3 * (layers - 1) == 6 * layers + 3
    assert len(Genes(SearchSpace(layers=20)).most) == 123


def test_there_and_back(genes):
    generator = np.random.default_rng(0)
    for _ in range(500):
        genotype = genes.space.random(generator)
        assert genes.decoded(genes.encoded(genotype)) == genotype
        vector = genes.random(generator)
        assert genes.decoded(vector) == genes.decoded(genes.repaired(vector, generator))


def test_anything_becomes_a_genotype(genes):
    """10,000 uniform vectors; a genotype's own rules are checked by its constructor."""
    generator = np.random.default_rng(0)
    counts = dict.fromkeys(range(1, 1 + len(SCALES)), 0)
    for _ in range(SAMPLES):
        vector = generator.integers(0, genes.most + 1)
        before = vector.copy()
        repaired = genes.repaired(vector, generator)
        assert (vector == before).all(), "the parent is not changed"
        assert ((repaired >= 0) & (repaired <= genes.most)).all()
        genotype = genes.decoded(repaired)
        genes.space.check(genotype)
        counts[len(genotype.branches)] += 1
    assert all(counts.values())


def test_what_keeps_the_rules_is_left_alone(genes):
    generator = np.random.default_rng(0)
    for _ in range(200):
        vector = genes.random(generator)
        assert (genes.repaired(vector, generator) == vector).all()
