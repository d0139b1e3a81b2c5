"""Operations that make the host wait are found; those that do not are left alone."""

import pytest
import torch
import torch.nn.functional as F

from segsuite.engine.inference.candidates import from_experiment
from tests.host_syncs import host_syncs

SMALL = "data=camvid data.root=none method/backbone=vit_micro method.pruning.after=[3,5]"
X = torch.tensor([3.0, 1.0, 2.0, 0.0])
INDEX = torch.tensor([1, 3])
WAITS = {
    "item": lambda: X.sum().item(),
    "python if": lambda: 1 if X.any() else 0,
    "int()": lambda: int(X.max()),
    "nonzero": lambda: X.nonzero(),
    "boolean index": lambda: X[X > 1],
    "boolean write of a tensor": lambda: X.clone().__setitem__(X > 1, torch.ones(2)),
    "boolean write beside an index": lambda: torch.ones(4, 4).__setitem__((X > 1, INDEX), 0.0),
    "masked_select": lambda: X.masked_select(X > 1),
    "where with one argument": lambda: torch.where(X > 1),
    "unique": lambda: X.unique(),
    "one_hot": lambda: F.one_hot(INDEX),
    "bincount": lambda: torch.bincount(INDEX),
    "repeat_interleave": lambda: torch.repeat_interleave(INDEX),
    "equal": lambda: torch.equal(X, X),
}
FREE = {
    "topk": lambda: X.topk(2),
    "gather": lambda: X.gather(0, INDEX),
    "scatter": lambda: X.scatter(0, INDEX, 1.0),
    "index": lambda: X[INDEX],
    "index write": lambda: X.clone().__setitem__(INDEX, torch.ones(2)),
    "where": lambda: torch.where(X > 1, X, -X),
    "boolean write of one value": lambda: X.clone().__setitem__(X > 1, 0.0),  # a masked_fill
    "masked_fill": lambda: X.masked_fill(X > 1, 0.0),
    "repeat_interleave of a known size": lambda: torch.repeat_interleave(INDEX, output_size=4),
    "sort": lambda: X.sort(),
}
MODES = {"no_grad": torch.no_grad, "inference": torch.inference_mode}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WAITS)
def test_waits_are_found(name: str, mode: str) -> None:
    with MODES[mode]():
        assert host_syncs(WAITS[name]), name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FREE)
def test_operations_of_known_shape_are_free(name: str, mode: str) -> None:
    with MODES[mode]():
        assert host_syncs(FREE[name]) == []


def predict_waits(experiment: str, device: str = "cpu") -> list[str]:
    network = from_experiment(f"{experiment} {SMALL}", size=(64, 128)).network.to(device)
    images = torch.randint(0, 256, (2, 3, 64, 128), dtype=torch.uint8, device=device)
    with torch.no_grad():
        if device != "cpu":
            network.predict(images)  # libraries that load wait once
        return host_syncs(lambda: network.predict(images), torch.device(device))


TWO = "fast method.pruning.budgets=[0.5,0.25]"
STATIC = ["static", TWO, f"{TWO} method/sharing=deviation", f"{TWO} method/sharing=entropy"]


@pytest.mark.parametrize("kind", STATIC)
def test_the_static_hybrids_forward_never_makes_the_host_wait(kind: str) -> None:
    assert predict_waits(f"cts_dtop_vitt_{kind}") == []


@pytest.mark.gpu
@pytest.mark.parametrize("kind", STATIC)
def test_nor_on_a_gpu_by_its_own_report(kind: str) -> None:
    assert predict_waits(f"cts_dtop_vitt_{kind}", "cuda") == []


def test_the_dynamic_hybrid_does_by_nature() -> None:
    assert len(predict_waits("cts_dtop_vitt")) >= 2


def test_each_wait_is_listed() -> None:
    assert host_syncs(lambda: [X[i].item() for i in range(3)]) == ["_local_scalar_dense"] * 3
