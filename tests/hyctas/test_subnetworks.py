"""What a sub-network is worth: measured on the same images, on those that were held out."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.data.module import HELD_OUT
from segsuite.engine.evaluators import SemanticEvaluator
from segsuite.measure.memory import peak_bytes
from segsuite.measure.operations import count, count_parameters
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.subnetworks import Subnetworks
from segsuite.nn.recalibration import recalibrate
from segsuite.searching.objectives import COUNTED, MEMORY
from tests.hyctas.made import TWO_BRANCHES, stirred
from tests.hyctas.test_supernet import CLASSES, images, supernet
from tests.toy import toy_classes

SIZE = (64, 96)


class Data:
    """Twelve training images and four that are held out."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(3)
        self.asked = []
        self.splits = {
            split: [
                SimpleNamespace(
                    image=image,
                    label=torch.randint(CLASSES, SIZE, generator=random, dtype=torch.int16),
                )
                for image in images(number, seed=seed)
            ]
            for split, number, seed in (("train", 12, 1), (HELD_OUT, 4, 2))
        }

    def samples(self, split: str) -> list[SimpleNamespace]:
        self.asked.append(split)
        return self.splits[split]

    @staticmethod
    def eval_transform(image: torch.Tensor) -> torch.Tensor:
        return image


def measured(data: Data, **changes) -> Subnetworks:
    kind = {"size": SIZE, "norm_images": 6, "scored_images": 4, "batch_size": 2, **changes}
    evaluator = SemanticEvaluator(classes=toy_classes(CLASSES))
    return Subnetworks(supernet=stirred(supernet()), data=data, evaluator=evaluator, **kind)


def test_metrics_are_those_of_the_network_taken_out():
    data, genotype = Data(), Genotype(**TWO_BRANCHES)
    subnetworks = measured(data)
    found = subnetworks.evaluated(genotype) | subnetworks.cheap(genotype, [*COUNTED, MEMORY])
    network = subnetworks.supernet.extracted(genotype)
    assert found["parameters"] == count_parameters(network)
    assert found["gmacs"] == pytest.approx(count(network, images(1)).everything.gmacs, rel=1e-12)
    image = images(1)
    with torch.no_grad():
        held = peak_bytes(lambda: network.predict(image).labels(SIZE), torch.device("cpu"))
    assert found["memory"] == pytest.approx(held / 1e6, rel=1e-3)
    chosen = torch.stack([data.splits["train"][place].image for place in (0, 2, 4, 6, 8, 10)])
    recalibrate(network, chosen.split(2))
    evaluator = SemanticEvaluator(classes=toy_classes(CLASSES))
    held_out = data.splits[HELD_OUT]
    with torch.no_grad():
        labels = network.predict(torch.stack([s.image for s in held_out])).labels(SIZE)
    evaluator.update(list(labels), {"label": [sample.label.long() for sample in held_out]})
    assert found["miou"] == pytest.approx(float(evaluator.compute()["miou"]), abs=1e-6)
    assert set(data.asked) == {"train", HELD_OUT}


def test_measured_again_it_is_the_same_whatever_was_measured_between():
    subnetworks, genotype = measured(Data()), Genotype(**TWO_BRANCHES)
    other = subnetworks.supernet.space.random(np.random.default_rng(0))
    first = subnetworks.evaluated(genotype)
    subnetworks.evaluated(other)
    assert subnetworks.evaluated(genotype) == first


def test_what_costs_nothing_needs_no_image():
    data = Data()
    found = measured(data).cheap(Genotype(**TWO_BRANCHES), [*COUNTED, MEMORY])
    assert data.asked == [] and min(found.values()) > 0


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ConfigError, match=r"size=\[64, 64\]"):
        measured(Data(), size=(64, 70))
