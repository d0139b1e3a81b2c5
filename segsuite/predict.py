"""`python -m segsuite.predict`: segments pictures."""

from omegaconf import DictConfig

from segsuite.engine.launch import door
from segsuite.engine.rebuild import config_from_checkpoint


@door("predict", prepare=config_from_checkpoint)
def main(cfg: DictConfig) -> None:
    """Segments a picture, a folder of pictures or a glob.

    python -m segsuite.predict ckpt_path=FILE input=street.jpg output=found
    python -m segsuite.predict ckpt_path=FILE input='street/*.png' output=found inference=slide

    python -m segsuite.predict ckpt_path=FILE input='*/*.png' output=found submission=cityscapes

    Writes output/masks/NAME.png with the raw ids of the class table, and output/overlays/NAME.png.
    """
    from segsuite.engine.prediction import predict

    count = predict(cfg)
    print(f"{count} pictures segmented: {cfg.output}/masks, {cfg.output}/overlays")


if __name__ == "__main__":
    main()
