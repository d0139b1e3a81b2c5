"""`python -m segsuite.predict`: segments images and videos."""

from omegaconf import DictConfig

from segsuite.engine.inference.exported import config_to_predict
from segsuite.engine.launch.entry_point import entry_point


@entry_point("predict", prepare=config_to_predict)
def main(cfg: DictConfig) -> None:
    """Segments an image, a folder of images with its sub-folders, or a glob; or a video.

    python -m segsuite.predict ckpt_path=FILE input=street.jpg output=found
    python -m segsuite.predict ckpt_path=FILE input='street/*.png' output=found inference=slide

    python -m segsuite.predict ckpt_path=FILE input='*/*.png' output=found submission=cityscapes

    Writes output/masks/NAME.png with the raw ids of the class table, and output/overlays/NAME.png
    with a legend below (legend=false: without); with colors=true also output/colors/NAME.png, the
    masks in the classes' colours. Sub-folders are kept. Large images need inference=slide.

    Of a panoptic network, overlays show segments with a line around each instance, and these are
    written in COCO's format too: output/panoptic/NAME.png and output/panoptic.json. With
    submission=cityscapes also as Cityscapes' evaluators read instances and segments.

    python -m segsuite.predict ckpt_path=network.onnx input=street.jpg output=found

    An ONNX file of segsuite.export writes the same, each image stretched to the file's own size.

    python -m segsuite.predict ckpt_path=FILE input=drive.mp4 output=found.mp4
    python -m segsuite.predict ckpt_path=FILE input=frames/ output=found.mp4 fps=30
    python -m segsuite.predict ckpt_path=FILE input=drive.mp4 output=found    # overlaid frames

    Writes one overlaid video, or a folder of overlaid frames, and prints frames a second. Video
    files need the extra `video`: pip install -e '.[video]' in the suite's folder.
    """
    from segsuite.engine.inference.prediction import loaded, white_of
    from segsuite.engine.inference.video import is_video
    from segsuite.engine.launch.run import Run

    run = Run(cfg)
    kind = "video" if is_video(cfg.video, cfg.input, cfg.output) else "images"
    print(run.build(f"segment.{kind}")(lambda: loaded(run), white=white_of(run)))


if __name__ == "__main__":
    main()
