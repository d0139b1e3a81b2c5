"""A trained network teaches another one, of any family, beside the labels.

Paper: "Distilling the Knowledge in a Neural Network" (Hinton et al., 2015), pixel by pixel on a
coarse grid, which is what makes it cheap.
"""

import logging
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.hints import Count, Positive
from segsuite.core.idle import counts
from segsuite.core.labels import IGNORE
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Batch
from segsuite.nn.segmenter import Segmenter

log = logging.getLogger(__name__)

KEY = "method.distillation.teacher"


@counts(temperature={"teacher": ()}, weight={"teacher": ()}, stride={"teacher": ()})
class Distillation:
    """The divergence of a network's class probabilities from those of its teacher.

    Not a module, so that a teacher is neither trained nor saved with its pupil.

    Args:
        teacher: a checkpoint of a training, with the classes of the data; None: nobody teaches.
        temperature: T, which softens both distributions; the gradients are kept as large by T^2.
        weight: weight of the divergence beside the method's own losses.
        stride: stride of the grid that both are compared on, in pixels.
    """

    def __init__(
        self,
        *,
        teacher: str | None = None,
        temperature: Positive = 1.0,
        weight: Positive = 1.0,
        stride: Count = 8,
    ) -> None:
        self.source, self.temperature = teacher, temperature
        self.weight, self.stride = weight, stride
        self._teacher: Segmenter | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: the averaged copy of a task (`callbacks=ema`) needs no teacher of its own."""
        return self

    def begin(self, network: Segmenter, classes: ClassTable, size: Size, **allowed: Any) -> None:
        """Loads the teacher, and makes sure that the two can be compared.

        Args:
            size: size of the crops, which both see.
            allowed: `allow`, import prefixes that the teacher's config may name.

        Raises:
            CheckpointError: the file is no checkpoint, or of other classes.
            ConfigError: the teacher cannot see such crops, or one of the two has no probabilities.
        """
        from segsuite.engine.launch.rebuild import trained_network

        if self.source is None:
            return
        with torch.random.fork_rng(devices=[]):  # a run and its control draw alike
            try:
                teacher = trained_network(self.source, classes=classes, **allowed)
            except (CheckpointError, ConfigError) as error:
                raise type(error)(f"{KEY}: {error}") from error
        for told, one in ((KEY, teacher), ("method.network", network)):
            # Networks that are trained here need not keep the contract whole: a policy does not.
            log_probabilities = getattr(type(one), "log_probabilities", Segmenter.log_probabilities)
            if log_probabilities is Segmenter.log_probabilities:
                raise ConfigError(
                    f"{told} is of the kind {type(one).__name__}, which has no probabilities of "
                    f"classes to compare; leave {KEY} out"
                )
        if any(side % teacher.size_divisor for side in size):
            raise ConfigError(
                f"{KEY}={self.source} needs sides that are multiples of {teacher.size_divisor}, "
                f"but data.crop_size is {list(size)}"
            )
        if getattr(network, "auxiliary", network) is None:
            log.warning(
                "%s=%s pulls at masks that are each judged by themselves, which has made networks "
                "worse: method.auxiliary=null leaves no layer that it could teach better; "
                "method/recipe=scratch has one",
                *(KEY, self.source),
            )
        self._teacher = teacher.requires_grad_(False)
        try:
            with torch.no_grad():  # whatever else it cannot do is found now
                teacher.log_probabilities(teacher(torch.zeros(1, 3, *size)), (1, 1))
        except ConfigError as error:
            raise ConfigError(f"{KEY}={self.source} cannot teach here: {error}") from error

    def losses(self, network: Segmenter, output: Any, batch: Batch) -> dict[str, Tensor]:
        """`distillation`: the mean over labelled grid points, weighted; nothing without a teacher.

        Args:
            output: output of the network that learns, for the batch's images.
        """
        if self._teacher is None:
            return {}
        images, labels = batch["image"], batch["label"]
        grid = tuple(-(-side // self.stride) for side in labels.shape[-2:])
        teacher = self._teacher.to(images.device)
        with torch.no_grad():
            taught = self._softened(teacher.log_probabilities(teacher(images), grid))
        learnt = self._softened(network.taught_log_probabilities(output, grid))
        divergence = F.kl_div(learnt, taught, reduction="none", log_target=True).sum(1)
        seen = F.interpolate(labels[:, None].float(), size=grid, mode="nearest-exact")[:, 0]
        counts = (seen != IGNORE).to(divergence.dtype)
        mean = (divergence * counts).sum() / counts.sum().clamp(min=1)
        return {"distillation": self.weight * self.temperature**2 * mean}

    def _softened(self, log_probabilities: Tensor) -> Tensor:
        return (log_probabilities.float() / self.temperature).log_softmax(1)
