"""Which class is taken for which, over a whole data set."""

import torch
from torch import Tensor
from torchmetrics import Metric


class ConfusionMatrix(Metric):
    """Pixels by their class (rows) and by the class they were predicted as (columns), int64.

    Integer sums do not depend on their order or on how images are spread over processes. Labels
    below zero are ignored. Of K classes it keeps K * K counts: for few classes.
    """

    full_state_update = False

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        counts = torch.zeros(num_classes * num_classes, dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Counts pixels; never waits for a GPU.

        Shapes: predictions and labels of any, but one, shape; int64.
        """
        predictions, labels = predictions.reshape(-1), labels.reshape(-1)
        codes = labels * self.num_classes + predictions
        known = labels >= 0
        if not codes.is_cuda:
            self.counts += torch.bincount(codes[known], minlength=self.counts.numel())
            return
        # bincount would wait for the GPU to learn the largest code, and `codes[known]` how many.
        self.counts.scatter_add_(0, torch.where(known, codes, 0), known.long())

    def compute(self) -> Tensor:
        """(K, K) counts so far."""
        return self.counts.view(self.num_classes, self.num_classes)
