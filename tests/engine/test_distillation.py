"""A trained network of any family teaches another: what is compared, and what is refused."""

import copy
import json
from types import SimpleNamespace

import pytest
import torch

from segsuite.core.build import build
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.labels import IGNORE
from segsuite.data.class_table import ClassTable
from segsuite.engine import distillation
from segsuite.engine.distillation import Distillation
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.task import SegmentationTask
from segsuite.train import main as train
from tests.engine.entry_points import called, only

SMALL = {
    "mobile": ("method/backbone=timm", "method.backbone.name=mobilenetv2_035"),
    "essnet": ("method/backbone=timm", "method.backbone.name=mobilenetv2_035"),
    "segvit": ("method.backbone.dim=48", "method.backbone.heads=3", "method.backbone.depth=9"),
}
SMALL["segvit scratch"] = ("method/recipe=scratch", *SMALL["segvit"])
SMALL["segvit cascade"] = ("method/head=atm_cascade", *SMALL["segvit"])
SMALL["panoptic"] = (*SMALL["mobile"], "data.instances=true")
SMALL["hyctas_panoptic"] = ("data.instances=true", "method.genotype.filters=4")
CLASSES = ("data=scenes", "data.num_classes=19", "data.crop_size=[64,64]")


def network(family: str, seed: int = 0):
    torch.manual_seed(seed)
    method = family.split()[0]
    cfg = compose("train", [f"method={method}", *SMALL[family], *CLASSES])
    return build(cfg.method.network, path="method.network")


def batch() -> dict:
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=random, dtype=torch.uint8)
    return {"image": images, "label": torch.randint(0, 19, (2, 64, 64), generator=random)}


def taught_by(teacher, pupil, monkeypatch, **settings) -> Distillation:
    monkeypatch.setattr(
        "segsuite.engine.launch.rebuild.trained_network", lambda *_a, **_k: teacher.eval()
    )
    lessons = Distillation(teacher="some.ckpt", **settings)
    lessons.begin(pupil, ClassTable.load("cityscapes19"), (64, 64))
    return lessons


@pytest.mark.parametrize("family", SMALL)
def test_probabilities_are_those_of_the_prediction(family):
    made = network(family).eval()
    seen = batch()["image"]
    logarithms = made.log_probabilities(made(seen), (8, 8))
    assert logarithms.shape == (2, 19, 8, 8) and logarithms.requires_grad
    torch.testing.assert_close(logarithms.exp().sum(1), torch.ones(2, 8, 8))
    likeliest = made.predict(seen).scores((8, 8)).argmax(1)
    assert torch.equal(logarithms.argmax(1), likeliest)


@pytest.mark.parametrize("family", SMALL)
def test_it_is_the_divergence_from_the_teacher_on_labelled_points(family, monkeypatch):
    teacher, pupil, lesson = network("mobile", seed=3), network(family), batch()
    with torch.no_grad():
        teacher.exit.classify.weight.mul_(30)  # sure of something
    lesson["label"][:, :32] = IGNORE
    lessons = taught_by(teacher, pupil, monkeypatch, temperature=2.0, weight=3.0, stride=16)
    output = pupil(lesson["image"])
    found = lessons.losses(pupil, output, lesson)["distillation"]

    p = (teacher.log_probabilities(teacher(lesson["image"]), (4, 4)) / 2).softmax(1)
    if family == "segvit scratch":  # what its auxiliary layer says of 4x4 patches
        q = (output.exits[-1].logits.transpose(1, 2).unflatten(2, (4, 4)) / 2).softmax(1)
    else:
        q = (pupil.log_probabilities(output, (4, 4)) / 2).softmax(1)
    divergence = (p * (p / q).log()).sum(1)[:, 2:]
    torch.testing.assert_close(found, 3 * 4 * divergence.mean(), rtol=1e-4, atol=1e-6)
    assert copy.deepcopy(lessons) is lessons, "averaged weights need no teacher of their own"
    found.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in pupil.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_nothing_is_left_to_learn_from_oneself(monkeypatch):
    pupil = network("mobile").eval()
    lessons = taught_by(pupil, pupil, monkeypatch)
    lesson = batch()
    assert lessons.losses(pupil, pupil(lesson["image"]), lesson)["distillation"].abs() < 1e-6


def test_what_cannot_teach_is_refused(monkeypatch):
    silent = SimpleNamespace(size_divisor=1)
    policy = build(compose("train", ["method=cts_policy", *CLASSES]).method.network, path="network")
    for teacher, pupil in ((policy, network("mobile")), (network("mobile"), policy)):
        with pytest.raises(ConfigError, match="PolicyNetwork, which has no probabilities"):
            taught_by(teacher, pupil, monkeypatch)
    blind = network("segvit")
    blind.predict = blind.forward = _refusing
    with pytest.raises(ConfigError, match=r"teacher=some\.ckpt cannot teach here: not today"):
        taught_by(blind, network("mobile"), monkeypatch)
    with pytest.raises(ConfigError, match=r"multiples of 16.*data\.crop_size is \[64, 72\]"):
        monkeypatch.setattr(
            "segsuite.engine.launch.rebuild.trained_network", lambda *_a, **_k: network("segvit")
        )
        Distillation(teacher="some.ckpt").begin(network("mobile"), silent, (64, 72))


def _refusing(images):
    raise ConfigError("not today")


def test_a_task_that_asks_no_teacher_is_refused(monkeypatch):
    class Own(SegmentationTask):
        def losses(self, batch):
            return {"own": torch.zeros(())}

    made = network("mobile")
    lessons = taught_by(network("mobile", seed=3), made, monkeypatch)
    parts = dict.fromkeys(("inference", "loss", "optimizer", "schedule"))
    table = ClassTable.load("cityscapes19")
    task = Own(network=made, classes=table, distillation=lessons, **parts)
    with pytest.raises(ConfigError, match=r"teacher changes nothing: Own makes its losses"):
        task.training_step(batch(), 0)


def test_a_mobile_network_teaches_a_transformer(tmp_path, capfd):
    short = (
        *("debug=smoke", "data.reader.lengths={train: 4, val: 2}", "trainer=cpu"),
        *("trainer.max_steps=1", "trainer.val_check_interval=1", f"paths.logs={tmp_path}"),
        *("callbacks.images=null", "method.backbone.weights=none"),
    )
    assert called(train, "method=mobile", *SMALL["mobile"], *CLASSES, *short, "name=teacher") == 0
    teacher = only(tmp_path, "train/teacher/*/checkpoints/last.ckpt")
    taught = (f"{distillation.KEY}={teacher}", "name=pupil")
    segvit = ("method=segvit", *SMALL["segvit"], "method/recipe=scratch")
    assert called(train, *segvit, *CLASSES, *short, *taught) == 0
    result = json.loads(only(tmp_path, "train/pupil/*/result.json").read_text())
    assert result["metrics"]["train/distillation"] > 0
    pupil = torch.load(
        only(tmp_path, "train/pupil/*/checkpoints/last.ckpt"), weights_only=True, mmap=True
    )
    assert all(name.startswith(("network.", "metric.")) for name in pupil["state_dict"])

    capfd.readouterr()
    other = ("data=scenes", "data.num_classes=20", "data.crop_size=[64,64]")
    assert called(train, *segvit, *other, *short, *taught) == 2
    assert "was trained for 19 classes, the data has 20" in capfd.readouterr().err
    assert called(train, *segvit, *CLASSES, *short, f"{distillation.KEY}=absent.ckpt") == 2
    assert "absent.ckpt" in capfd.readouterr().err


@pytest.mark.parametrize(("pupil", "warned"), [("segvit", True), ("segvit scratch", False)])
def test_a_teacher_that_would_pull_at_masks_is_said(pupil, warned, monkeypatch, caplog):
    taught_by(network("mobile"), network(pupil), monkeypatch)
    assert ("method.auxiliary=null leaves no layer" in caplog.text) is warned


def test_no_checkpoint_is_an_error_of_its_own(tmp_path):
    (tmp_path / "some.ckpt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"method\.distillation\.teacher: "):
        Distillation(teacher=str(tmp_path / "some.ckpt")).begin(
            network("mobile"), ClassTable.load("cityscapes19"), (64, 64)
        )
