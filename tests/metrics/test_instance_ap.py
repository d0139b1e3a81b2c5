"""Cityscapes' instance AP against its official evaluator where it is, and values from it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segsuite.core.errors import DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.instance_files import read_instances, read_masks
from segsuite.data.readers.decode import decode_mask
from segsuite.metrics.instance_ap import InstanceAP
from tests.data.layouts import write_mask
from tests.metrics.official import official_instance_ap

TABLE = ClassTable.load("cityscapes19")
KINDS = (24, 25, 26, 29)
"""Persons, riders, cars, and caravans, which are not evaluated."""


def truth(seed: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    """(H, W) uint16 as *_instanceIds.png: instances of all sizes, groups, and void."""
    random = np.random.default_rng(seed)
    raw = np.kron(random.choice([7, 11, 4], (size[0] // 20, size[1] // 20)), np.ones((20, 20), int))
    for number in range(14):
        kind = int(random.choice(KINDS))
        raw[_box(random, size)] = kind if random.random() < 0.25 else kind * 1000 + number
    return raw.astype(np.uint16)


def _box(random: np.random.Generator, size: tuple[int, int]) -> tuple[slice, slice]:
    top, left = (int(random.integers(length - 6)) for length in size)
    return slice(top, top + int(random.integers(4, 26))), slice(
        left, left + int(random.integers(4, 26))
    )


def results(raw: np.ndarray, seed: int) -> list[tuple[np.ndarray, int, float]]:
    """Masks, class ids and scores: what is found, found twice, elsewhere, on groups, on void."""
    random = np.random.default_rng(100 + seed)
    found = []
    for value in np.unique(raw[raw >= 24]).tolist():
        kind = value // 1000 or value
        for _ in range(int(random.integers(0, 3))):
            mask = np.roll(raw == value, random.integers(-2, 3, 2), axis=(0, 1))
            found.append((mask, kind))
    for _ in range(5):
        mask = np.zeros(raw.shape, bool)
        mask[_box(random, raw.shape)] = True
        found.append((mask, int(random.choice([*KINDS, 7]))))
    # Few different scores, so that some are equal.
    return [(mask, kind, round(float(random.random()), 1)) for mask, kind in found]


def written(folder: Path, count: int) -> list[tuple[Path, Path]]:
    """Files of results and of truth."""
    pairs = []
    for number in range(count):
        name = f"ulm_000000_{number:06}"
        raw = truth(number)
        write_mask(folder / f"{name}_gtFine_instanceIds.png", raw)
        lines = []
        for at, (mask, kind, score) in enumerate(results(raw, number)):
            write_mask(folder / name / f"{at}.png", mask.astype(np.uint8) * 255)
            lines.append(f"{name}/{at}.png {kind} {score}\n")
        (folder / f"{name}.txt").write_text("".join(lines))
        pairs.append((folder / f"{name}.txt", folder / f"{name}_gtFine_instanceIds.png"))
    return pairs


def metric() -> InstanceAP:
    return InstanceAP(num_classes=len(TABLE), things=TABLE.things)


def counted(to: InstanceAP, told: list[tuple[np.ndarray, int, float]], raw: np.ndarray) -> None:
    """Counts one image."""
    layers = [mask * (at + 1) for at, (mask, _, _) in enumerate(told)]
    maps = np.array(layers, np.int32).reshape(-1, *raw.shape)
    update(to, maps, [kind for _, kind, _ in told], [score for *_, score in told], raw)


def update(
    to: InstanceAP, maps: np.ndarray, kinds: list[int], scores: list[float], raw: np.ndarray
) -> None:
    label = TABLE.labels(np.where(raw >= 1000, raw // 1000, raw), "x")
    instance = np.where(raw >= 1000, raw, 0).astype(np.int32)
    to.update(
        torch.from_numpy(maps),
        torch.arange(1, len(maps) + 1),
        torch.tensor([TABLE.ids.index(kind) if kind in TABLE.ids else -1 for kind in kinds]).long(),
        torch.tensor(scores, dtype=torch.float64),
        torch.from_numpy(label).long(),
        torch.from_numpy(instance),
    )


def test_equal_to_the_official_evaluator(tmp_path, monkeypatch):
    pairs = written(tmp_path, 8)
    expected = official_instance_ap(pairs, tmp_path, monkeypatch)["averages"]
    ours = metric()
    for told, raw in pairs:
        found, size = read_instances(told), decode_mask(raw).shape
        layers = read_masks(found, size)
        update(
            ours, layers, [i.category for i in found], [i.score for i in found], decode_mask(raw)
        )
    scores = ours.compute()
    for name, of_class in expected["classes"].items():
        at = TABLE.names.index(name)
        assert float(scores.ap[at]) == pytest.approx(of_class["ap"], abs=1e-12, nan_ok=True), name
        assert float(scores.ap50[at]) == pytest.approx(of_class["ap50%"], abs=1e-12, nan_ok=True)
    means = {name: float(value) for name, value in scores.summary().items()}
    assert means == pytest.approx(
        {"ap": expected["allAp"], "ap50": expected["allAp50%"]}, abs=1e-12
    )
    assert 0.05 < means["ap"] < means["ap50"] < 0.95


def of(images: range) -> InstanceAP:
    ours = metric()
    for number in images:
        counted(ours, results(truth(number), number), truth(number))
    return ours


def test_values_of_the_official_evaluator():
    scores = of(range(3)).compute()
    for name, ap, ap50 in (
        ("person", 0.23983333333333334, 0.42666666666666664),
        ("rider", 0.2599194139194139, 0.5142857142857142),
        ("car", 0.04375, 0.134375),
    ):
        at = TABLE.names.index(name)
        assert [float(scores.ap[at]), float(scores.ap50[at])] == pytest.approx([ap, ap50], abs=1e-9)
    assert scores.ap[TABLE.names.index("bus")].isnan()
    assert float(scores.summary()["ap50"]) == pytest.approx(0.35844246031746033, abs=1e-9)


def test_parts_of_a_data_set_add_up_even_when_one_process_has_nothing():
    whole = of(range(3)).compute()
    for first, second in ((range(1), range(1, 3)), (range(3), range(0))):
        ours, theirs = of(first), of(second)
        lists = [torch.cat([torch.tensor([], dtype=theirs.dtype), *theirs.predicted])]
        gathered = iter([*lists, theirs.present])
        ours.dist_sync_fn = lambda own, group, others=gathered: [own, next(others)]
        ours.distributed_available_fn = lambda: True
        assert lists[0].dtype == ours.dtype == torch.float64
        scores = ours.compute()
        assert torch.equal(scores.ap.nan_to_num(-1), whole.ap.nan_to_num(-1))


def test_nothing_predicted_and_nothing_there():
    raw = truth(0)
    ours = metric()
    counted(ours, [], raw)
    assert float(ours.compute().summary()["ap"]) == 0
    ours.reset()
    counted(ours, results(raw, 0), np.full_like(raw, 7))
    assert ours.compute().ap.isnan().all()


@pytest.mark.parametrize(
    "ids, said", [([4], "the ids 7 .* are in the map"), ([7, 7], "ids 7 .* twice")]
)
def test_ids_that_do_not_fit_are_an_error(ids, said):
    maps = torch.full((4, 4), 7), torch.zeros(4, 4, dtype=torch.int64)
    one = torch.tensor(ids)
    with pytest.raises(DataError, match=said):
        metric().update(maps[0], one, one * 0 + 11, one.double(), maps[1], maps[1])
