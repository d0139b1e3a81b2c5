"""Answers as Cityscapes' server and its evaluators read them: of pixels, instances and segments."""

from pathlib import Path

from segsuite.data.class_table import ClassTable
from segsuite.data.instance_files import write_instances
from segsuite.data.submission import CityscapesSubmission
from segsuite.engine.inference.answers import Answer, Segments
from segsuite.engine.inference.segment_files import SegmentFiles


class CityscapesFiles:
    """Writes FOLDER/FRAME_labelIds.png and, of networks that tell things apart, two folders more.

    FOLDER_instances/FRAME.txt, with masks beside, is for instance AP; for panoptic quality
    FOLDER_panoptic/panoptic.json with panoptic/FRAME.png. They stand apart since the official
    evaluators go through all folders below the one that they are given, and take any PNG file
    that is called by its frame for the frame's labels.

    Args:
        folder: where the labels go.
        trained: the network's classes.
        tells_apart: whether the network tells things apart, so that answers have segments.

    Raises:
        ConfigError: one of the network's classes is not among those that are submitted; or it tells
            things apart, and some of them are none to Cityscapes, or the other way round.
    """

    def __init__(
        self,
        folder: Path,
        submission: CityscapesSubmission,
        *,
        trained: ClassTable,
        tells_apart: bool,
    ) -> None:
        self._submission, self._trained = submission, trained
        self._classes = submission.table(trained)
        if tells_apart:
            submission.check_things(trained)
        self._labels, self._instances, panoptic = folders_of(folder)
        # Its evaluator pairs images by their frames' names.
        self._segments = SegmentFiles(panoptic, self._classes, numbered=False)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where files are: there is no instance or segment of networks that know none."""
        every = folders_of(self._labels)
        return every if self._segments.kinds else every[:1]

    def write(self, sample: str, answer: Answer) -> None:
        """Writes the files of one image; its answer is on the CPU.

        Args:
            sample: the frame, as an image's name without suffix or as a sample's id.

        Raises:
            DataError: a name that is no frame's.
        """
        self._submission.write(self._labels, sample, answer.labels.numpy(), self._trained)
        if answer.segments is not None:
            self._write_segments(self._submission.frame(sample), answer.segments)

    def finish(self) -> None:
        """Writes panoptic.json, if there were segments; all processes must call it."""
        self._segments.finish()

    def _write_segments(self, frame: str, segments: Segments) -> None:
        categories = [self._classes.ids[c] for c in segments.classes.tolist()]
        table = (segments.ids.tolist(), categories, segments.scores.tolist())
        write_instances(self._instances, frame, segments.instances.numpy(), *table)
        self._segments.write(frame, segments)


def folders_of(folder: Path) -> tuple[Path, Path, Path]:
    """Where labels, instances and segments go."""
    return folder, *(folder.with_name(f"{folder.name}_{of}") for of in ("instances", "panoptic"))
