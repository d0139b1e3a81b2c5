"""All of it at once on toys: figures are complete, notes and verdicts honest, output is plain."""

import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console

from segsuite.bench import plots, report, tables
from segsuite.bench.measurement import Measurement, Settings, measure, speed_at
from segsuite.core.errors import ConfigError
from segsuite.engine.accuracy import Accuracy
from segsuite.engine.inference.candidates import Candidate, from_experiment
from segsuite.nn.grouping import PanopticMap
from tests.bench.toy import ToyTokens, half_bright
from tests.toy import ToySegmenter

SETTINGS = Settings(device=torch.device("cpu"), batch_sizes=(1, 2), rounds=2, warm_up=1)


@pytest.fixture(scope="module")
def measured() -> list[Measurement]:
    networks = {
        "plain": ToySegmenter(num_classes=3),
        "segvit_vitt": ToyTokens(masks=True),
        "never leaves": ToyTokens(masks=True),
    }
    images = torch.cat([half_bright(), half_bright().flip(3)])
    candidates = [Candidate(n, n, network.eval(), False) for n, network in networks.items()]
    found = measure(candidates[:2], images, SETTINGS)
    white = torch.full_like(images, 255)
    return [*found, *measure([candidates[0], candidates[2]], white, SETTINGS)[1:]]


def printed(*shown: object) -> str:
    console = Console(file=io.StringIO(), width=250)
    console.print(*shown)
    return " ".join(console.file.getvalue().split())  # captions come in several lines


def test_a_network_without_tokens_is_measured_too(measured: list[Measurement]) -> None:
    plain, tokens, _ = measured
    assert plain.tokens is None and plain.excluded.macs == 0
    assert [stage.mean for stage in tokens.tokens] == [16, 8]
    assert tokens.parameters_excluded == 6 * (3 * 3 * 9 + 3)


def test_first_network_is_the_measure_of_all(measured: list[Measurement]) -> None:
    for batch in (1, 2):
        assert measured[0].speed[batch].network_ratio.median == 1.0
        speed = measured[1].speed[batch]
        assert speed.labels.batch == batch and speed.labels.median > speed.network.median > 0
        assert speed.peak > 0


def test_papers_figures_stand_beside_ours_only_where_the_task_is_theirs(
    measured: list[Measurement],
) -> None:
    assert measured[1].published.gflops == 12.0
    assert not measured[1].comparable  # 32x32 and three classes
    assert measured[1].published.comparable((512, 512), 150)


def test_another_network_than_the_papers_is_noted(measured: list[Measurement]) -> None:
    """The same size and classes, and yet another count: one head where the paper's has two."""
    ours = measured[1].as_published.gfvcore
    theirs = replace(measured[1].published, size=(32, 32), classes=3)
    for gflops, noted in ((1.07 * ours, True), (ours, False)):
        its = replace(measured[1], published=replace(theirs, gflops=gflops))
        assert its.is_another == noted
        assert any("not the paper's network" in n for n in report.notes([its])) == noted
        text = printed(tables.cost_table([its], "cost"), tables.paper_table([its]))
        assert ("*: not the paper's network" in text) == noted
        assert "of another task" not in text
    assert "of another task" in printed(tables.paper_table(measured))


def test_different_numbers_of_classes_are_shown_and_said(measured: list[Measurement]) -> None:
    several = [measured[0], replace(measured[1], num_classes=150)]
    assert "tell 3 and 150 classes apart" in report.notes(several)[0]
    assert "classes" in printed(tables.cost_table(several, "cost"))
    assert "classes" not in printed(tables.cost_table(measured, "cost"))


def test_miou_stands_beside_speed(measured: list[Measurement]) -> None:
    scored = [replace(measured[0], accuracy=Accuracy(0.4321, 100, 500)), measured[1]]
    text = printed(tables.speed_table(scored, "speed"))
    assert "(whole range, below 6 rounds)" in text  # two are no interval
    assert "43.21" in text and "on 100 of 500 validation images, stretched to 32x32" in text
    assert report.to_dict(scored[0])["miou"] == {"miou": 0.4321, "images": 100, "of": 500}
    assert "mIoU" not in printed(tables.speed_table(measured, "speed"))


def test_a_network_that_fails_is_named() -> None:
    class Broken(ToySegmenter):
        def predict(self, images: torch.Tensor) -> None:
            raise self.error

    for error, kind, said in (
        (ConfigError("so it is"), ConfigError, "second: so it is"),
        (torch.OutOfMemoryError("no more"), ConfigError, "second: the memory .*no more"),
        (RuntimeError("odd"), RuntimeError, "odd"),
    ):
        broken = Broken(num_classes=3)
        broken.error = error
        pair = [
            Candidate("first", "", ToySegmenter(num_classes=3).eval(), False),
            Candidate("second", "", broken.eval(), False),
        ]
        with pytest.raises(kind, match=said) as raised:
            measure(pair, half_bright(), SETTINGS)
    assert raised.value.__notes__ == ["while measuring second"]


def test_notes_warn_of_masking_and_of_untrained_exits(measured: list[Measurement]) -> None:
    masked, untrained = report.notes(measured)
    assert masked.startswith("segvit_vitt") and "saves nothing" in masked
    assert untrained.startswith("never leaves") and "checkpoints=" in untrained


def test_report_is_plain_json(measured: list[Measurement]) -> None:
    found = json.loads(json.dumps(report.to_dict(measured[1])))
    assert found["gmacs"] == found["gmacs_without_policy"] + found["parts"][0]["gmacs"]
    assert found["batch"]["2"]["with_labels"]["rounds"] == 2
    assert "parts" not in report.to_dict(measured[1], parts=False)
    assert len(report.verdicts(measured)) == 4


def test_tables_and_plot_show_every_network(measured: list[Measurement], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=250)
    console.print(tables.cost_table(measured, "cost"), tables.speed_table(measured, "speed"))
    console.print(tables.parts_table(measured), tables.paper_table(measured))
    text = console.file.getvalue()
    assert all(its.name in text for its in measured)
    assert "trunk.blocks.4" in text and "Jetson" in text
    assert tables.paper_table(measured[:1]) is None
    plots.save_breakdown(measured, tmp_path / "breakdown.png", title="toys")
    assert (tmp_path / "breakdown.png").read_bytes().startswith(b"\x89PNG")


def test_bf16_is_measured_as_such() -> None:
    seen = []

    class Watched(ToySegmenter):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores = super().forward(images)
            seen.append(scores.dtype)
            return scores.float()

    settings = Settings(device=torch.device("cpu"), batch_sizes=(1,), rounds=1, precision="bf16")
    measure([Candidate("a", "a", Watched(num_classes=3).eval(), False)], half_bright(), settings)
    assert set(seen) == {torch.bfloat16}


def test_every_network_is_compiled_at_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch stops at 8 versions of one code and runs it as it is, without a word."""
    made = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    networks = [
        Candidate(str(width), "", ToySegmenter(num_classes=3, width=width).eval(), False)
        for width in (4, 8, 12)
    ]
    settings = Settings(
        device=torch.device("cpu"), batch_sizes=(1, 2, 3, 4), rounds=1, warm_up=0, compile=True
    )
    for batch in settings.batch_sizes:
        speed_at(batch, networks, half_bright(), settings)
    assert len(made) == 12


def test_networks_that_tell_things_apart_are_timed_to_segments():
    size = (64, 128)
    apart = from_experiment("panoptic_scenes method.network.channels=8", size=size)
    images = torch.randint(256, (1, 3, *size), dtype=torch.uint8)
    plain = Candidate("plain", "", ToySegmenter(num_classes=3).eval(), False)
    predict, segments = apart.steps(size)
    (found,) = segments(predict(images))
    assert isinstance(found, PanopticMap) and found.labels.shape == size
    measured = measure([apart, plain], images, replace(SETTINGS, batch_sizes=(1,)))
    assert [one.to_segments for one in measured] == [True, False]
    assert any("channels=8: with labels means with segments" in n for n in report.notes(measured))
    assert not any("with segments" in note for note in report.notes(measured[1:]))
