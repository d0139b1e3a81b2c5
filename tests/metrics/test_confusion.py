"""Which class is taken for which, beside torchmetrics' own count."""

import csv

import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.engine.evaluators import SemanticEvaluator
from segsuite.metrics.confusion import ConfusionMatrix


def drawn(classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.randint(classes, (2, 7, 9), generator=generator)
    labels = torch.randint(-1, classes, (2, 7, 9), generator=generator)
    return predictions, labels


def test_counts_equal_those_of_torchmetrics():
    metric, (first, second) = ConfusionMatrix(num_classes=5), (drawn(5, 0), drawn(5, 1))
    metric.update(*first)
    metric.update(*second)
    predictions, labels = (torch.cat(both) for both in zip(first, second, strict=True))
    known = multiclass_confusion_matrix(predictions, labels, num_classes=5, ignore_index=-1)
    assert torch.equal(metric.compute(), known)


def test_the_evaluator_writes_it_for_few_classes_and_its_diagonal_is_the_iou(tmp_path):
    table = ClassTable(
        names=("a", "b", "c, d", "e"), colors=distinct_colors(4), ids=tuple(range(4))
    )
    evaluator = SemanticEvaluator(classes=table)
    predictions, labels = drawn(4, 2)
    evaluator.update(list(predictions), {"label": list(labels)})
    evaluator.compute()
    evaluator.write(tmp_path)
    with open(tmp_path / "confusion.csv", newline="") as handle:
        header, *rows = csv.reader(handle)
    assert header[1:] == [row[0] for row in rows] == list(table.names)
    counts = torch.tensor([[int(cell) for cell in row[1:]] for row in rows])
    union = counts.sum(0) + counts.sum(1) - counts.diag()
    assert torch.equal(counts.diag() / union.double(), evaluator.metric.compute().iou)
    assert SemanticEvaluator(classes=table, confusion=3).confusion is None
