"""The speed of a trained network beside a baseline, at the end of a real (tiny) fit."""

import json
from pathlib import Path

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from segsuite.bench.callbacks import CompareSpeed
from tests.toy import ToySegmenter


class Task(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = ToySegmenter(num_classes=3)

    def training_step(self, batch: dict) -> Tensor:
        return self.network(torch.stack(batch["image"])).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Images(L.LightningDataModule):
    def train_dataloader(self) -> DataLoader:
        images = [torch.full((3, 16, 24), 100, dtype=torch.uint8)] * 2
        return DataLoader([{"image": images}], batch_size=None)

    val_dataloader = train_dataloader


def test_measures_at_the_end_of_fit(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    callback = CompareSpeed(
        baseline=ToySegmenter(num_classes=3, width=16), size=[16, 32], rounds=2, images=2
    )
    task = Task()
    L.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[callback],
        limit_val_batches=0,
    ).fit(task, datamodule=Images())
    found = json.loads((tmp_path / "speed.json").read_text())
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("speed")]
    assert found["verdict"] in line and "16x32" in line
    ours, dense = found["networks"]["this network"], found["networks"]["the dense network"]
    assert dense["gmacs"] > ours["gmacs"] > 0
    assert ours["batch_1"]["rounds"] == 2
