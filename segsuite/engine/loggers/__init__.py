"""Where metrics and images go: CSV, W&B, TensorBoard; each goes on when a run is resumed."""

from segsuite.engine.loggers.csv import CsvLogger
from segsuite.engine.loggers.tensorboard import TensorBoardLogger
from segsuite.engine.loggers.wandb import WandbLogger

__all__ = ["CsvLogger", "TensorBoardLogger", "WandbLogger"]
