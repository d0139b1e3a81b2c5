"""The policy of CTS trained alone, on the window labels of any semantic data set."""

from collections.abc import Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from segsuite.core.arguments import with_arguments_of
from segsuite.core.hints import Above
from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.data.samples import Batch
from segsuite.engine.evaluators import SemanticEvaluator
from segsuite.engine.task import BaseTask
from segsuite.methods.segvit.objective import policy_loss
from segsuite.methods.segvit.policy import PolicyNetwork, window_labels
from segsuite.methods.segvit.sharing_metric import SharedRight, SharingScores
from segsuite.methods.segvit.task import fitted

_WINDOWS = ClassTable(names=("mixed", "uniform"), colors=distinct_colors(2), ids=(0, 1))


class PolicyLoss(nn.Module):
    """Two-way cross-entropy over the windows, without weighting or balancing (CTS, section 3.3).

    Args:
        ignore_border: whether windows on the border that mix one class with ignored pixels are left
            out, as the original does for ADE20K.
    """

    def __init__(self, *, ignore_border: bool = False, window: int = 32) -> None:
        super().__init__()
        self.ignore_border, self.window = ignore_border, window

    def targets(self, labels: Tensor) -> Tensor:
        """(B, H / window, W / window): 1 uniform, 0 mixed, IGNORE."""
        return window_labels(labels, window=self.window, ignore_border=self.ignore_border)

    def forward(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"policy": policy_loss(logits, self.targets(labels))}


class PolicyEvaluator(SemanticEvaluator):
    """Two classes of windows, mixed and uniform, and which windows would share a token.

    `pacc` is the accuracy over windows, `miou` the mean over the two classes, and `shared_right`
    the share of the windows that would share a token and do hold one class, beside those of windows
    at random and of an oracle. Windows are ranked over the whole image, as a network does that sees
    it whole.

    Args:
        windows: the share of tokens that sharing is to save, as `method.sharing.windows` below 1.
        loss: loss of the policy, which says what a window's label is.
    """

    headline = "shared_right"
    counted = "windows"

    def __init__(self, *, windows: float, loss: PolicyLoss) -> None:
        super().__init__(classes=_WINDOWS)
        self.shared_right = SharedRight(saved=windows)
        self._loss = loss

    @property
    def metric_names(self) -> tuple[str, ...]:
        return (*super().metric_names, *SharingScores._fields)

    def reset(self) -> None:
        super().reset()
        self.shared_right.reset()

    def update(self, predictions: Sequence[Tensor], batch: Batch) -> None:
        """Counts windows.

        Shapes: predictions (2, h, w) logits of the windows, one of each image of the batch
        """
        pairs = zip(predictions, batch["image"], batch["label"], strict=True)
        for logits, image, label in pairs:
            rows, columns = (count * self._loss.window for count in logits.shape[-2:])
            targets = self._loss.targets(fitted(label, image)[None, :rows, :columns])[0]
            self.count(logits.argmax(0).flatten(), targets.flatten())
            self.shared_right.update(logits[1] - logits[0], targets)

    def compute(self) -> dict[str, Tensor]:
        return super().compute() | self.shared_right.compute()._asdict()

    def line(self) -> str:
        share = float(self.shared_right.compute().shared_right)
        right = f"{100 * share:.2f} % of the windows that share are uniform (shared_right)"
        return f"{super().line()}; {right}"


class PolicyTask(BaseTask):
    """Trains a `PolicyNetwork`; see `PolicyEvaluator` for what is measured.

    Args:
        windows: the share of tokens that sharing is to save, as `method.sharing.windows` below 1.
    """

    @with_arguments_of(BaseTask, without=["evaluator"])
    def __init__(
        self,
        *,
        network: PolicyNetwork,
        loss: PolicyLoss,
        windows: Annotated[float, Above(0, 0.75)] = 0.3,
        **common: Any,
    ) -> None:
        evaluator = PolicyEvaluator(windows=windows, loss=loss)
        super().__init__(network=network, loss=loss, evaluator=evaluator, **common)

    def predictions(self, batch: Batch) -> list[Tensor]:
        """Logits (2, h, w) of the windows of each image, those that are whole."""
        window, logits = self.loss.window, []
        for image in batch["image"]:
            rows, columns = (side // window * window for side in image.shape[-2:])
            logits.append(self.network(image[None, :, :rows, :columns]).float()[0])
        return logits

    def predicted_labels(self, batch: Batch, **_: object) -> list[Tensor]:
        """Windows as (H, W) maps of 0 and 1, for images."""
        pairs = zip(self.predictions(batch), batch["label"], strict=True)
        return [fitted(logits.argmax(0), label) for logits, label in pairs]
