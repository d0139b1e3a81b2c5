"""Made-up panoptic maps, whose predictions are the truth with mistakes of every kind."""

import numpy as np

CLASSES = 7
THINGS = frozenset({3, 4, 5})
"""Of classes 0 to 6, of which the last one never appears."""

Maps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def drawn(
    seed: int,
    size: tuple[int, int] = (24, 36),
    *,
    instances: int = 6,
    void: float = 0.15,
    predicted_void: float = 0.1,
    crowds: float = 0.3,
    ids: int = 1000,
) -> Maps:
    """Predicted classes and instances, labels and instances: int64, int32, int64, int32.

    Args:
        instances: how many are drawn over the stuff.
        void, predicted_void: share of blocks and of predicted pixels without a class.
        crowds: how often what is drawn is a crowd.
        ids: instance ids are below it.
    """
    random = np.random.default_rng(seed)
    rows, columns = size
    label = np.kron(random.integers(0, 3, (rows // 6, columns // 6)), np.ones((6, 6), int))
    instance = np.zeros(size, int)
    for number in (1 + random.permutation(instances) * (ids // 10)).tolist():
        top, left = int(random.integers(rows - 4)), int(random.integers(columns - 4))
        part = (
            slice(top, top + int(random.integers(3, 14))),
            slice(left, left + int(random.integers(3, 14))),
        )
        label[part] = random.choice(sorted(THINGS))
        instance[part] = 0 if random.random() < crowds else number
    answer, answered = np.roll(label, 1, axis=1), np.roll(instance, 1, axis=1)
    for number in np.unique(answered[answered > 0]).tolist():  # of another class, split, left out
        inside, kind = answered == number, random.integers(8)
        if kind == 0:
            answer[inside] = random.choice(sorted(THINGS))
        elif kind == 1:
            answered[inside & (np.arange(columns) % 9 < 4)] = ids + number
        elif kind == 2:
            answer[inside], answered[inside] = 0, 0
    lost = np.isin(answer, list(THINGS)) & (answered == 0)  # some of what is on crowds
    answered[lost & (random.random(size) < 0.9)] = 2 * ids
    answer[random.random(size) < predicted_void] = -1
    blocks = random.random((rows // 4, columns // 4)) < void
    label[np.kron(blocks, np.ones((4, 4), bool))] = -1
    return (
        answer.astype(np.int64),
        answered.astype(np.int32),
        label.astype(np.int64),
        instance.astype(np.int32),
    )
