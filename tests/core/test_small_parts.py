"""Errors, seeds and the contract."""

import random

import numpy as np
import pytest
import torch

from segsuite.core import errors
from segsuite.core.files import written_whole
from segsuite.core.labels import IGNORE
from segsuite.core.seeding import seed_everything, stream
from segsuite.core.sizes import check_size
from segsuite.nn.segmenter import Segmenter
from segsuite.nn.token_trace import TokenStage, TokenTrace
from tests.toy import ToySegmenter


def test_the_nearest_word_is_suggested_or_all_are_listed():
    assert errors.did_you_mean("depht", ["width", "depth"]) == "; did you mean `depth`?"
    assert errors.did_you_mean("zzz", {"b", "a"}) == "; known: a, b"
    assert errors.did_you_mean("zzz", []) == ""
    assert errors.did_you_mean(0.5, ["speed"]) == "; known: speed", "YAML makes a number of it"


@pytest.mark.parametrize("name", ["x" * 245 + ".json", "ä" * 122 + ".png"])
def test_names_that_are_as_long_as_they_may_be_are_written_too(name, tmp_path):
    with written_whole(tmp_path / name) as beside:
        assert beside.suffix == (tmp_path / name).suffix
        beside.touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_all_mistakes_of_users_are_of_one_kind_and_extras_are_named():
    kinds = (errors.ConfigError, errors.DataError, errors.CheckpointError, errors.MissingExtra)
    assert all(issubclass(kind, errors.SegsuiteError) for kind in kinds)
    said = str(errors.MissingExtra("tensorboard", "tensorboard"))
    assert "pip install -e '.[tensorboard]'" in said


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_one_seed_is_for_every_generator():
    seed_everything(2**40 + 3)
    first = drawn()
    assert drawn() != first
    seed_everything(2**40 + 3)
    assert drawn() == first
    seed_everything(4)
    assert all(a != b for a, b in zip(drawn(), first, strict=True))
    with pytest.raises(errors.ConfigError, match="seed=abc is not a whole number"):
        seed_everything("abc")


def test_streams_depend_on_their_key_alone():
    def numbers(*key: int) -> list[float]:
        return torch.rand(3, generator=stream(*key)).tolist()

    one = numbers(7, 12)
    before = torch.get_rng_state()
    torch.rand(5)
    assert numbers(7, 12) == one
    torch.set_rng_state(before)
    keys = [(7, 12), (12, 7), (7,), (7, 13), (8, 12), (7, 12, 1), (-1, 12)]
    assert len({tuple(numbers(*key)) for key in keys}) == len(keys)
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left alone"


def test_streams_are_the_same_on_every_machine():
    assert torch.randint(0, 1000, (4,), generator=stream(0, 1)).tolist() == GOLDEN


GOLDEN = [164, 578, 435, 282]


@pytest.fixture
def trace() -> TokenTrace:
    """Two images of 2x4 patches; in the first, the left window shares slot 4."""
    owner = torch.tensor([[4, 4, 0, 1, 4, 4, 2, 3], [0, 1, 4, 4, 2, 3, 4, 4]])
    first = TokenStage(after=0, slots=torch.arange(5).expand(2, -1))
    second = TokenStage(after=2, slots=torch.tensor([[4, 1], [3, 0]]))
    padded = torch.tensor([[True, False], [True, True]])
    third = TokenStage(after=3, slots=second.slots, valid=padded)
    return TokenTrace(grid=(2, 4), patch=16, owner=owner, stages=(first, second, third))


def test_a_trace_counts_tokens_per_image_and_stage(trace):
    assert trace.counts().tolist() == [[5, 2, 1], [5, 2, 2]]


def test_a_trace_shows_which_patches_are_still_worked_on(trace):
    assert trace.alive(0).all() and trace.alive(0).shape == (2, 2, 4)
    assert trace.alive(1)[0].int().tolist() == [[1, 1, 0, 1], [1, 1, 0, 0]]
    assert trace.alive(1)[1].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert trace.alive(2)[0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]


def test_sizes_that_do_not_fit_name_the_two_nearest():
    check_size((64, 96), 32)
    with pytest.raises(errors.ConfigError) as found:
        check_size((30, 100), 32)
    said = str(found.value)
    assert "images of 30x100" in said and "multiples of 32" in said
    assert said.endswith("set data.crop_size=[32, 96] or data.crop_size=[32, 128]")
    with pytest.raises(errors.ConfigError, match=r"for sharing, multiples of 64: .*=\[64, 128\]$"):
        check_size((30, 100), 32, beside={"sharing": 64})


def test_a_segmenter_checks_what_it_is_given_and_must_predict():
    network = ToySegmenter(num_classes=3)
    with pytest.raises(errors.ConfigError, match="multiples of 8"):
        network.check_size(torch.zeros(1, 3, 8, 12))
    assert network.load_initial_weights() is None
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (Segmenter,), {"forward": lambda self, images: images})()


def test_ignored_pixels_have_one_number_everywhere():
    assert IGNORE == -1
