"""Three stages of training, each from the weights of the one before (`init_from`)."""

import pytest
import torch

from segsuite.core.errors import CheckpointError
from segsuite.core.transfer import begin_with
from segsuite.engine.launch.entry_point import compose
from segsuite.methods.mobile.network import MobileSegmenter
from tests.mobile.made import network

STAGES = ("coco9", "cityscapes_coarse", "cityscapes_fine")
MODELS = ("basic", "dpc", "basic_mobilenetv2", "dpc_mobilenetv2")


def checkpoint(built: MobileSegmenter) -> dict:
    target = "segsuite.methods.mobile.network.MobileSegmenter"
    return {
        "config": {"method": {"network": {"_target_": target}}},
        "state_dict": {f"network.{name}": weight for name, weight in built.state_dict().items()},
    }


def test_another_number_of_classes_leaves_only_the_classifier_fresh(monkeypatch):
    before, after = network(classes=10), network("method.border=pad", classes=19)
    fetched = []
    monkeypatch.setattr(after.backbone, "load_initial_weights", lambda: fetched.append(1))
    transfer = begin_with(after, checkpoint(before), source="stage A")
    assert transfer.fresh == ("exit.*",) and not transfer.owns and not fetched
    assert torch.equal(after.head.project.conv.weight, before.head.project.conv.weight)


def test_the_same_classes_take_everything():
    before, after = network(classes=19), network(classes=19)
    torch.nn.init.normal_(before.exit.classify.weight)
    transfer = begin_with(after, checkpoint(before), source="stage B")
    assert not transfer.fresh and not transfer.left_over
    assert torch.equal(after.exit.classify.weight, before.exit.classify.weight)


def test_another_head_takes_the_backbone_and_the_classifier():
    transfer = begin_with(
        network("method/head=basic"), checkpoint(network("method/head=dpc")), source="dpc"
    )
    assert "exit.classify.weight" in transfer.taken
    assert any(name.startswith("head.") for name in transfer.fresh)


def test_another_backbone_is_refused():
    with pytest.raises(CheckpointError, match=r"too little.*method/backbone"):
        begin_with(
            network(), checkpoint(network("method/backbone=mobilenetv2")), source="mobilenet"
        )


@pytest.mark.parametrize("model", MODELS)
def test_the_recipe_of_the_stages(model):
    """Section 3 of the paper: steps, batch, rates, crops; alike for all models."""
    for stage, (steps, rate, slow) in zip(
        STAGES, ((60_000, 1e-3, 0), (60_000, 1e-3, 0), (120_000, 1e-4, 186)), strict=True
    ):
        cfg = compose("train", [f"experiment=mobile_{model}_{stage}", "data=cityscapes"])
        found = cfg.method.optimizer, cfg.method.schedule, cfg.trainer.max_steps
        assert found[2] == steps and found[0].lr == rate and found[1].slow_steps == slow
        assert rate * found[1].slow_ratio == pytest.approx(1e-5) or not slow
        assert found[0].weight_decay == 4e-5 and found[1].power == 0.9
        assert cfg.data.batch_size == 16 and cfg.data.crop_size == [769, 769]
        transform = cfg.data.train_transform
        assert transform.ratio_range == [0.5, 2.0] and transform.ratio_step == 0.25
        assert transform.photometric is None and transform.cat_max_ratio == 1.0
        assert cfg.method.backbone.momentum == 0.003 and cfg.method.head.momentum == 3e-4
        assert cfg.method.network.output_stride == 16
        assert ("Shuffle" in cfg.method.backbone._target_) == ("mobilenetv2" not in model)
        assert ("Basic" in cfg.method.head._target_) == model.startswith("basic")
