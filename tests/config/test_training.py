"""Every experiment trains, validates and is tested, with its networks made small."""

import json
import re

import pytest

from segsuite.train import main as train
from tests.config.composed import EXPERIMENTS, LIBRARIES
from tests.engine.entry_points import called

TINY = (
    *("debug=smoke", "data=scenes", "data.crop_size=[64,64]"),
    "data.reader.lengths={train: 4, val: 2}",
    *("trainer=cpu", "trainer.max_steps=1", "trainer.val_check_interval=1"),
    *("trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "data.eval_batch_size=1"),
)
SMALL = {
    "segvit": ("method.backbone.dim=48", "method.backbone.heads=3", "method.backbone.depth=9"),
    "mobile": (),
    "hyctas_supernet": ("method.space.layers=5", "method.space.filters=2"),
    "hyctas": ("method.genotype.filters=2",),
    "lraspp": (),
    "yolo26n": (),
    "panoptic": ("method/backbone=timm", "method.backbone.name=mobilenetv2_035"),
    "essnet": ("method/backbone=timm", "method.backbone.name=mobilenetv2_035"),
}
ALIKE = re.compile(
    r"essnet_(cityscapes|ade20k|voc)_resnet.*|mobile_.*_cityscapes_coarse|hyctas_[sm]_ade20k"
    r"|hyctas_m_cityscapes|hyctas_supernet_cityscapes|hyctas_l_coco_panoptic|panoptic_mobilenetv2_.*"
    r"|(segvit|cts|dtop|cts_dtop)_vit[bls](_static)?|cts_policy_cityscapes"
)
"""Made small, these are essnet_..._mobilenetv2, mobile_..._fine, hyctas_s_cityscapes,
hyctas_l_..., hyctas_l_cityscapes_panoptic, panoptic_scenes, hyctas_supernet_camvid, ..._vitt and
cts_policy_ade20k; test_composition builds all."""


@pytest.mark.parametrize("experiment", [e for e in EXPERIMENTS if not ALIKE.fullmatch(e)])
def test_every_experiment_runs_to_its_end(experiment, tmp_path, capfd):
    if library := LIBRARIES.get(experiment):
        pytest.importorskip(library)
    family = next((f for f in SMALL if experiment.startswith(f)), "segvit")
    small = () if "policy" in experiment or "lite0" in experiment else SMALL[family]
    speed = ("callbacks.speed=null",) if experiment == "quickstart" else ()
    paths = f"paths.logs={tmp_path}"
    code = called(train, f"experiment={experiment}", *TINY, *small, *speed, paths)
    assert code == 0, capfd.readouterr().err
    (folder,) = tmp_path.glob(f"train/{experiment}/*")
    result = json.loads((folder / "result.json").read_text())
    assert result["steps"] == 1 and 0 <= result["metrics"]["test/miou"] <= 1
    losses = {k: v for k, v in result["metrics"].items() if k.startswith("train/")}
    assert losses["train/loss"] > 0
    shares = experiment.startswith("cts") or experiment == "quickstart"
    assert ("train/policy" in losses) == shares, losses
    assert list((folder / "images").iterdir())
