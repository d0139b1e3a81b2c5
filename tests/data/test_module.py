from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.module import SegmentationData
from segsuite.data.readers.paired_files import PairedFiles
from segsuite.data.scenes import Scenes
from segsuite.data.transforms import AsItIs, FitWithin, PhotometricDistortion, ScaleCropFlip
from tests.data.layouts import ListedReader, camvid, write_image


def data(reader: Any = None, **how: Any) -> SegmentationData:
    options: dict[str, Any] = {
        "reader": reader or ListedReader(length=10),
        "train_transform": ScaleCropFlip(crop_size=[16, 24], photometric=PhotometricDistortion()),
        "eval_transform": AsItIs(),
        "crop_size": [16, 24],
        "num_classes": 11,
        "batch_size": 3,
        "num_workers": 0,
    }
    return SegmentationData(**{**options, **how})


def of_camvid(root: Path, **how: Any) -> SegmentationData:
    reader = PairedFiles(
        images="{split}/{id}.*",
        masks="{split}annot/{id}.png",
        splits={"train": "train", "val": "val"},
    )
    options = {"root": str(root), "classes": "camvid11", "verify_dir": str(root / "known")}
    return data(reader, **{**options, **how})


def first(module: SegmentationData, count: int) -> list[Any]:
    return list(islice(module.train_dataloader(), count))


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        a["id"] == b["id"]
        and torch.equal(a["image"], b["image"])
        and torch.equal(a["label"], b["label"])
        for a, b in zip(one, other, strict=True)
    )


def trainer(step: int = 0, accumulate: int = 1, rank: int = 0, world_size: int = 1) -> Any:
    return SimpleNamespace(
        global_step=step,
        accumulate_grad_batches=accumulate,
        global_rank=rank,
        world_size=world_size,
    )


def test_training_batches_keep_the_contract() -> None:
    batch = first(data(), 1)[0]
    assert batch["image"].shape == (3, 3, 16, 24) and batch["image"].dtype == torch.uint8
    assert batch["label"].shape == (3, 16, 24) and batch["label"].dtype == torch.int64
    assert len(batch["id"]) == 3 and "instances" not in batch


def test_evaluation_batches_are_lists_of_original_sizes() -> None:
    module = data(eval_transform=FitWithin(long=60, short=36), eval_batch_size=4)
    batches = list(module.val_dataloader())
    assert [len(batch["id"]) for batch in batches] == [4, 4, 2]
    assert [tuple(label.shape) for label in batches[0]["label"]] == [(24, 18), (20, 30)] * 2
    assert [tuple(image.shape) for image in batches[0]["image"]] == [(3, 48, 36), (3, 36, 54)] * 2
    assert batches[0]["label"][0].dtype == torch.int64


def test_workers_change_nothing() -> None:
    assert same(first(data(), 5), first(data(num_workers=2), 5))


def test_seeds_change_order_and_augmentation() -> None:
    one, other = first(data(), 4), first(data(seed=1), 4)
    assert not same(one, other)
    assert same(one, first(data(), 4))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_goes_on_with_the_next_batch(accumulate: int) -> None:
    module = data()
    whole = first(module, 10)
    module.trainer = trainer(step=3, accumulate=accumulate)
    assert same(first(module, 4), whole[3 * accumulate : 3 * accumulate + 4])


def test_a_sample_is_augmented_otherwise_in_every_pass() -> None:
    batches = first(data(batch_size=10), 3)
    of_one = [batch["image"][batch["id"].index("sample_4")] for batch in batches]
    assert not torch.equal(of_one[0], of_one[1]) and not torch.equal(of_one[1], of_one[2])


def test_ranks_draw_different_samples_and_evaluate_each_once() -> None:
    modules = [data(batch_size=5), data(batch_size=5)]
    for rank, module in enumerate(modules):
        module.trainer = trainer(rank=rank, world_size=2)
    drawn = [first(module, 1)[0]["id"] for module in modules]
    assert len({*drawn[0], *drawn[1]}) == 10
    seen = [i for module in modules for batch in module.val_dataloader() for i in batch["id"]]
    assert sorted(seen) == sorted(f"sample_{n}" for n in range(10))


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_generator_alone(workers: int) -> None:
    module = data(num_workers=workers)
    before = torch.get_rng_state()
    first(module, 2), list(module.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_held_samples_are_the_same_and_read_once(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    module = of_camvid(root, cache=True)
    module.setup("fit")
    wanted = first(of_camvid(root), 4)
    for path in (root / "train").iterdir():
        path.unlink()
    assert same(first(module, 4), wanted)


def test_samples_that_would_not_fit_into_memory_are_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = of_camvid(camvid(tmp_path)).samples("train")
    needed = sum(
        s.image.nbytes + s.label.nbytes for s in map(samples.__getitem__, range(len(samples)))
    )
    monkeypatch.setattr("segsuite.data.batches.free_memory", lambda device: needed)
    of_camvid(tmp_path, cache=True).samples("train")
    monkeypatch.setattr("segsuite.data.batches.free_memory", lambda device: needed - 1)
    with pytest.raises(DataError, match=r"data\.cache=true would hold .* type data\.cache=false"):
        of_camvid(tmp_path, cache=True).samples("train")


def test_data_are_verified_before_training(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    (root / "train/0001TP_000000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0001TP_000000\.png cannot be decoded"):
        of_camvid(root).setup("fit")
    of_camvid(root).setup("validate")  # the split that is asked for is sound
    of_camvid(root, verify=False).setup("fit")
    module = of_camvid(root, strict=False)
    module.setup("fit")
    assert len(module.samples("train")) == 2


def test_the_test_split_can_be_chosen(tmp_path: Path) -> None:
    module = of_camvid(camvid(tmp_path, train=4, val=2), test_split="train")
    module.setup("test")
    assert sum(len(batch["id"]) for batch in module.test_dataloader()) == 4


def test_instances_travel_with_the_batch() -> None:
    reader = Scenes(size=(32, 48), num_classes=19, lengths={"train": 4, "val": 2})
    module = data(reader, num_classes=19, instances=True)
    batch = first(module, 1)[0]
    assert batch["instances"].shape == batch["label"].shape
    assert batch["instances"].dtype == torch.int32
    evaluated = next(iter(module.val_dataloader()))
    assert evaluated["instances"][0].shape == (32, 48)


def test_instances_that_are_nowhere_are_an_error(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    with pytest.raises(DataError, match=r"data have no instance ids"):
        of_camvid(root, instances=True).setup("fit")


def test_classes_come_from_the_table_or_the_reader(tmp_path: Path) -> None:
    assert of_camvid(tmp_path).classes.names[0] == "Sky"
    assert data().classes.names[10] == "Bicyclist"
    with pytest.raises(ConfigError, match=r"data\.num_classes=12, but the class table has 11"):
        of_camvid(tmp_path, num_classes=12)
    with pytest.raises(DataError, match="no class table"):
        of_camvid(tmp_path, classes=None)


def test_constructing_touches_no_file(tmp_path: Path) -> None:
    module = of_camvid(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is not a folder"):
        module.setup("fit")


def test_gaps_are_errors_before_training(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    write_image(root / "val/alone.png")
    with pytest.raises(DataError, match=r"alone\.png has no mask"):
        of_camvid(root).setup("fit")


def test_the_last_training_images_are_held_out(tmp_path: Path) -> None:
    """Apart from those that are trained on, and together the same as without."""
    root = camvid(tmp_path / "camvid")
    whole = of_camvid(root).samples("train")
    module = of_camvid(root, held_out=0.4)
    trained, apart = module.samples("train"), module.samples("held_out")
    assert len(apart) == round(0.4 * len(whole)) > 0
    assert [*trained.ids, *apart.ids] == list(whole.ids)
    assert torch.equal(apart[0].image, whole[len(trained)].image)
    first_asked = of_camvid(root, held_out=0.4)
    assert list(first_asked.samples("held_out").ids) == list(apart.ids)
    assert len(of_camvid(root, held_out=0.4, cache=True).samples("train")) == len(trained)
    with pytest.raises(ConfigError, match=r"train with data\.held_out=0\.1"):
        of_camvid(root).samples("held_out")
    with pytest.raises(ConfigError, match="leaves none of"):
        of_camvid(root, held_out=0.9).samples("train")
