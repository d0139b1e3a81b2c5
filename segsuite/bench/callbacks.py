"""Speed of a freshly trained network beside a baseline, on the machine that trained it."""

from pathlib import Path

import lightning as L

from segsuite.bench.measurement import Settings, Speed, ready_to_run, speed_at
from segsuite.core.files import write_json
from segsuite.core.sizes import Size
from segsuite.engine.inference.candidates import Candidate
from segsuite.measure import machine
from segsuite.measure.images import images_of
from segsuite.measure.operations import count
from segsuite.measure.verdict import verdict
from segsuite.nn.segmenter import Segmenter


class CompareSpeed(L.Callback):
    """At the end of training, measures the network against `baseline` and prints what it found.

    Both take turns on validation images. Figures go to `speed.json` in the run's folder.

    Args:
        baseline: a network with random weights, such as the dense one of the same width; its speed
            does not depend on its weights.
        size: (height, width) of the images, such as `${data.crop_size}`.
        name, baseline_name: how the two are called in print.
        images: how many images to go through.
    """

    def __init__(
        self,
        *,
        baseline: Segmenter,
        size: Size,
        name: str = "this network",
        baseline_name: str = "the dense network",
        batch_sizes: tuple[int, ...] = (1,),
        rounds: int = 15,
        warm_up: int = 2,
        images: int = 4,
    ) -> None:
        super().__init__()
        self.baseline = baseline.eval().requires_grad_(False)
        self.size: Size = (int(size[0]), int(size[1]))
        self.name, self.baseline_name = name, baseline_name
        self.batch_sizes, self.rounds, self.warm_up = tuple(batch_sizes), rounds, warm_up
        self.images = images

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures on the first process, while the others wait for it."""
        if trainer.is_global_zero:
            self._compare(trainer, pl_module)
        trainer.strategy.barrier("speed")

    def _compare(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        network, device = pl_module.network, pl_module.device
        was_training = network.training
        images = images_of(
            trainer.datamodule.val_dataloader(), count=self.images, size=self.size
        ).to(device)
        pair = [
            Candidate(self.baseline_name, "", self.baseline.to(device), trained=False),
            Candidate(self.name, "", network.eval(), trained=True),
        ]
        gmacs = {c.name: count(c.network, images[:1]).everything.gmacs for c in pair}
        settings = Settings(device=device, rounds=self.rounds, warm_up=self.warm_up)
        ready = [ready_to_run(candidate, images[:1]) for candidate in pair]
        speed = {batch: speed_at(batch, ready, images, settings) for batch in self.batch_sizes}
        network.train(was_training)
        self.baseline.to("cpu")
        facts = machine.machine(device)
        claim = verdict(
            self.name,
            self.baseline_name,
            {batch: speeds[self.name].labels_ratio for batch, speeds in speed.items()},
        )
        figures = {
            c.name: {"gmacs": gmacs[c.name]}
            | {f"batch_{b}": speeds[c.name].labels.to_dict() for b, speeds in speed.items()}
            for c in pair
        }
        write_json(
            Path(trainer.default_root_dir) / "speed.json",
            {"machine": facts, "size": list(self.size), "networks": figures, "verdict": claim},
        )
        print(
            f"speed, images of {self.size[0]}x{self.size[1]} to labels, "
            f"{machine.shown(facts)}: {self._line(gmacs, speed)}; {claim}",
            flush=True,
        )

    def _line(self, gmacs: dict[str, float], speed: dict[int, dict[str, Speed]]) -> str:
        """ "dense 3.1 GMACs, 34.1 ms; this network 1.4 GMACs, 20.3 ms" at the smallest batch."""
        speeds = speed[min(speed)]
        return "; ".join(
            f"{name} {gmacs[name]:.3g} GMACs, {1e3 * speeds[name].labels.median:.1f} ms"
            for name in speeds
        )
