"""A search space without networks, of which the truth is known."""

from dataclasses import dataclass

import numpy as np

from segsuite.searching.encoding import Judged
from segsuite.searching.objectives import Goals


@dataclass(frozen=True)
class Word:
    """An architecture: one of its genes is idle where the first is 0."""

    letters: tuple[int, ...]


class Words:
    """Sixteen genes of 0 to 4; the accuracy and the cost of each add up."""

    def __init__(self) -> None:
        self.most = np.full(16, 4)
        self.blocks = [slice(0, 8), slice(8, 16)]
        random = np.random.default_rng(7)
        self.gain, self.price = random.random((2, 16, 5))

    def random(self, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(0, self.most + 1)

    def repaired(self, vector: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return vector

    def decoded(self, vector: np.ndarray) -> Word:
        letters = [int(gene) for gene in vector]
        return Word((*letters[:15], 0) if letters[0] == 0 else tuple(letters))

    def metrics(self, word: Word) -> dict[str, float]:
        places = range(len(word.letters))
        return {
            "miou": float(self.gain[places, word.letters].sum()),
            "gmacs": float(self.price[places, word.letters].sum()),
        }


def judged(goals: Goals, metrics: dict[str, float]) -> Judged:
    return Judged(goals.costs(metrics), goals.excess(metrics))


def hypervolume(costs: np.ndarray, reference: tuple[float, float]) -> float:
    """Of two objectives that are to be low: the area that the front covers below a point."""
    area, least = 0.0, reference[1]
    for first, second in sorted(costs.tolist()):
        if first < reference[0] and second < least:
            area += (reference[0] - first) * (least - second)
            least = second
    return area
