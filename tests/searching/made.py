"""A search space without networks, of which the truth is known."""

from dataclasses import dataclass

import numpy as np

from segsuite.searching.encoding import Problem
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

    def canonical(self, vector: np.ndarray) -> np.ndarray:
        return np.array(self.decoded(vector).letters)

    def features(self, vector: np.ndarray) -> np.ndarray:
        return np.eye(5)[vector].ravel()

    def metrics(self, word: Word) -> dict[str, float]:
        places = range(len(word.letters))
        return {
            "miou": float(self.gain[places, word.letters].sum()),
            "gmacs": float(self.price[places, word.letters].sum()),
        }

    def problem(self, goals: Goals) -> Problem:
        return Problem(self, goals, lambda v: {"gmacs": self.metrics(self.decoded(v))["gmacs"]})
