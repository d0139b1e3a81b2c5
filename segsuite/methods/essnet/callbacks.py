"""Class embeddings shown while they are learnt, and how separated they are."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from segsuite.core.errors import ConfigError
from segsuite.core.files import written_whole
from segsuite.core.hints import Count
from segsuite.engine.loggers.opened import log_image
from segsuite.methods.essnet.embedding_map import nearest_text, plane, save_map
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.ops.kept_pairs import share_kept

log = logging.getLogger(__name__)


class EmbeddingMap(Callback):
    """At every validation a map as PNG, also for the loggers; at the end each class's nearest.

    Args:
        folder: where `<iteration>.png` and `nearest_classes.txt` go.
        nearest: how many nearest classes are listed for each class.
        most_rows: most rows of W&B's table, which takes up to 10,000 gladly.
    """

    def __init__(self, *, folder: str, nearest: int = 5, most_rows: int = 10_000) -> None:
        self.folder, self.nearest, self.most_rows = Path(folder), nearest, most_rows

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        class_vectors(pl_module.network)  # said before anything is trained

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or trainer.state.fn != "fit":
            return
        path = self.folder / f"{trainer.global_step:07d}.png"
        save_map(
            class_vectors(pl_module.network),
            pl_module.classes.names,
            path,
            colors=pl_module.classes.colors,
            groups=pl_module.classes.groups,
            title=f"class embeddings after {trainer.global_step} iterations",
        )
        log_image(trainer, "embeddings", path)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        table, names = class_vectors(pl_module.network), pl_module.classes.names
        path = self.folder / "nearest_classes.txt"
        with written_whole(path) as beside:
            beside.write_text(nearest_text(table, names, k=self.nearest) + "\n")
        points = plane(table).tolist()[: self.most_rows]
        groups = pl_module.classes.groups or ("",) * len(names)
        rows = [[n, g, *p] for n, g, p in zip(names, groups, points, strict=False)]
        for logger in trainer.loggers:
            if hasattr(logger, "log_table"):  # wandb
                logger.log_table("class_embeddings", ["class", "group", "x", "y"], rows)
        print(f"class embeddings: {self.folder}/*.png, {path.name}", flush=True)


class PairsKept(Callback):
    """Logs `train/pairs_kept`, the share of pairs of pixel and class that float32 sees.

    It falls while classes separate; see `ops.kept_pairs`.

    Args:
        every: iterations.
    """

    def __init__(self, *, every: Count = 20) -> None:
        self.every = every
        self._hook: RemovableHandle | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def look(loss: nn.Module, seen: tuple[Any, ...]) -> None:
            if trainer.global_step % self.every or not isinstance(seen[0], EssnetOutput):
                return
            output, labels = seen
            share = share_kept(
                output.features,
                output.table,
                labels,
                bias=output.bias,
                scale=output.scale,
                metric=output.metric,
                cutoff=getattr(loss, "cutoff", None),
                normalize=output.normalize_after,
            )
            pl_module.log("train/pairs_kept", share, batch_size=len(labels))

        # The features are the network's, which only its loss is shown.
        self._hook = pl_module.loss.register_forward_pre_hook(look)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._hook is not None:
            self._hook.remove()


class SayWay(Callback):
    """Says once, of a training's first batch, by which way its loss is computed.

    Args:
        sentence: makes it of the network's output and the labels.
    """

    def __init__(self, sentence: Callable[[EssnetOutput, Tensor], str]) -> None:
        self.sentence = sentence

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def look(loss: nn.Module, seen: tuple[Any, ...]) -> None:
            log.info(self.sentence(*seen))
            hook.remove()

        hook = pl_module.loss.register_forward_pre_hook(look)


def class_vectors(network: object) -> Tensor:
    """(C, d): a network's class embeddings, or the class vectors of its plain head.

    Raises:
        ConfigError: it has none.
    """
    head = getattr(network, "head", None)
    if not hasattr(head, "classes"):
        raise ConfigError(
            f"{type(network).__name__} has no class vectors to show, as networks of method=essnet "
            "have; for a training, type callbacks=default"
        )
    return head.classes()["table"]
