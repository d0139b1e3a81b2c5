"""What a config may name: parts of the suite and its libraries, and what the user trusts."""

import re

import pytest
from omegaconf import OmegaConf

from segsuite.core.errors import ConfigError
from segsuite.core.targets import locate, trusted


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("os.system", "`method._target_=os.system` is outside segsuite."),
        ("segsuitelike.core.Trunk", "is outside segsuite."),
        ("segsuite.nowhere.Trunk", "cannot be imported: module 'segsuite' has no attribute"),
        ("tests.core.parts.Trnk", "cannot be imported: "),
        ("tests.core.parts.Trunk.deep", "cannot be imported: "),
        ("torch.os.system", "is only a name there for posix.system, which is not allowed"),
        ("segsuite.core.build.re.compile", "for re.compile, which is not allowed"),
        ("torch.load", "is none of the kinds that configs are made of"),
        ("torch.utils.collect_env.run", "if you trust it, type allow=[torch.utils.collect_env.]"),
        ("torch.utils.collect_env.SystemEnv", "is none of the kinds"),
        ("timm.create_model", "is none of the kinds"),
        ("lightning.pytorch.cli.LightningCLI", "is none of the kinds"),
        ("segsuite.core.targets.locate", "is none of the kinds"),
        ("segsuite.core.files.write_json", "is none of the kinds"),
        ("segsuite.nn.backbones.weight_files.weights_file", "is none of the kinds"),
        ("segsuite.engine.inference.video_output.VideoFile", "is none of the kinds"),
        ("torch.float32", "is no class or function, but torch.float32"),
        ("torch", "is no import path"),
        (None, "is no import path"),
        (3, "is no import path"),
    ],
)
def test_targets_that_are_not_allowed_or_not_there(target, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        locate(target, "method", ("tests.",))


@pytest.mark.parametrize(
    "target",
    [
        *("torch.nn.Dropout", "torch.optim.SGD", "torch.optim.lr_scheduler.PolynomialLR"),
        *("torchmetrics.MeanMetric", "lightning.Trainer", "lightning.pytorch.loggers.CSVLogger"),
        *("lightning.pytorch.callbacks.EMAWeightAveraging", "torchvision.models.ResNet"),
        "lightning.pytorch.profilers.SimpleProfiler",
        *("segsuite.engine.schedules.poly", "segsuite.methods.segvit.token_sharing.no_sharing"),
        "segsuite.nn.pixel_loss.PixelCrossEntropy",
    ],
)
def test_parts_may_be_named(target):
    assert locate(target).__name__ == target.rsplit(".", 1)[-1]


def test_what_is_trusted_may_be_named():
    import torch

    assert locate("torch.load", allow=("torch.serialization.",)) is torch.load


@pytest.mark.parametrize("names", ["mine.", None, 3, [3], [""], {"mine": 1}])
def test_what_is_trusted_is_a_list_of_names(names):
    with pytest.raises(ConfigError, match=r"is no list of packages; type allow=\[mylab\.\]"):
        trusted(OmegaConf.create({"allow": names}))


def test_a_package_is_trusted_and_not_all_that_begin_like_it():
    allow = trusted(OmegaConf.create({"allow": ["tests", "mylab."]}))
    assert allow == ("tests.", "mylab.")
    locate("tests.core.parts.Trunk", allow=allow)
    with pytest.raises(ConfigError, match="is outside"):
        locate("testsomething.Trunk", allow=allow)


def test_modules_that_lack_something_say_what(tmp_path, monkeypatch):
    (tmp_path / "halfway.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="a_package_that_nobody_has"):
        locate("halfway.Network", allow=("halfway.",))
