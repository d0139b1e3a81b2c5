import signal
from types import SimpleNamespace

import pytest

from segsuite.engine.callbacks.interrupts import Interrupts
from segsuite.engine.launch.entry_point import Interrupted


@pytest.fixture
def trainer():
    saved = []
    return SimpleNamespace(
        accumulate_grad_batches=2,
        world_size=1,
        saved=saved,
        save_checkpoint=lambda path, weights_only: saved.append(path),
    )


@pytest.fixture
def interrupts(tmp_path, trainer):
    callback = Interrupts(last=tmp_path / "last.ckpt")
    callback.on_train_start(trainer, None)
    yield callback
    callback.on_exception(trainer, None, Exception())


def test_it_saves_when_the_accumulation_is_complete_and_stops_after_that(interrupts, trainer):
    signal.raise_signal(signal.SIGINT)
    interrupts.on_train_batch_end(trainer, None, None, None, 0)
    assert trainer.saved == []
    interrupts.on_train_batch_end(trainer, None, None, None, 1)
    assert trainer.saved == [interrupts.last]
    with pytest.raises(Interrupted) as stop:
        interrupts.on_train_batch_start(trainer, None, None, 2)
    assert stop.value.number == signal.SIGINT


def test_during_validation_it_stops_at_the_next_batch(interrupts, trainer):
    interrupts.on_validation_batch_end(trainer, None, None, None, 0)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        interrupts.on_validation_batch_end(trainer, None, None, None, 1)
    assert trainer.saved == [], "it was saved before the validation"


def test_the_second_signal_stops_at_once(interrupts):
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)


def test_handlers_are_put_back(tmp_path, trainer):
    before = signal.getsignal(signal.SIGINT)
    callback = Interrupts(last=tmp_path / "last.ckpt")
    callback.on_train_start(trainer, None)
    assert signal.getsignal(signal.SIGINT) is not before
    callback.on_train_end(trainer, None)
    assert signal.getsignal(signal.SIGINT) is before
