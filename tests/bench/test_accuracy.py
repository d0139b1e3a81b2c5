"""The mIoU beside a trained network's speed: of its own classes alone, and of a bounded number."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from segsuite.bench.probes import probe_of
from segsuite.core.errors import ConfigError
from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.engine.accuracy import Accuracy, accuracies
from segsuite.engine.inference.candidates import Candidate, NamedNetworks
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.run import Run
from tests.bench.toy import half_bright
from tests.toy import ToySegmenter

NAMES = ("a", "b", "c")


def trained(name: str, names: tuple[str, ...], folder) -> Candidate:
    table = ClassTable(names=names, colors=distinct_colors(3), ids=(0, 1, 2))
    torch.save({"classes": table.to_dict()}, folder / f"{name}.ckpt")
    torch.manual_seed(0)
    network = ToySegmenter(num_classes=3).eval()
    return Candidate(name, name, network, True, str(folder / f"{name}.ckpt"))


def test_trained_networks_are_scored_on_the_data_of_their_classes(tmp_path):
    found = [
        trained("ours", NAMES, tmp_path),
        trained("other", ("x", "y", "z"), tmp_path),
        Candidate("random", "random", ToySegmenter(num_classes=3).eval(), False),
    ]
    image = half_bright()[0]
    label = found[0].network.predict(image[None]).labels((32, 32))[0]
    wrong = (label + 1) % 3
    samples = [SimpleNamespace(image=image, label=its) for its in (label, wrong, label, wrong)]
    data = SimpleNamespace(
        classes=ClassTable(names=NAMES, colors=distinct_colors(3), ids=(0, 1, 2)),
        samples=lambda split: samples,
        eval_transform=lambda image: image,
    )
    kind = {"size": (32, 32), "precision": nullcontext(), "tell": lambda text: None}
    scores, notes = accuracies(found, data, images=2, **kind)
    assert scores == {"ours": Accuracy(1.0, 2, 4)}  # spread: the first and the third
    assert len(notes) == 1 and notes[0].startswith("other: no mIoU") and "classes" in notes[0]
    assert accuracies(found, data, images=None, **kind)[0]["ours"].value < 1


def test_what_would_change_nothing_is_refused(tmp_path):
    trained("a", NAMES, tmp_path)
    cfg = compose("benchmark", ["experiments=[segvit_vitt]", "accuracy.images=5"])
    with pytest.raises(ConfigError, match=r"accuracy.images=5 would change nothing.*data="):
        probe_of(Run(cfg), ["experiments=[segvit_vitt]", "accuracy.images=5"])
    probe_of(Run(cfg), ["checkpoints=[a.ckpt]", "data=camvid", "accuracy.images=5"])
    with pytest.raises(ConfigError, match=r"method.x=1 would change nothing"):
        checkpoints = [str(tmp_path / "a.ckpt")]
        NamedNetworks(checkpoints=checkpoints, overrides=["method.x=1"]).built((32, 32))
