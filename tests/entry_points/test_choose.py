"""`segsuite.choose` from a budget to the commands that train."""

import json

from segsuite.choose import main as choose
from tests.engine.entry_points import called

NETWORKS = "experiments=[mobile_basic_cityscapes_fine,hyctas_s_cityscapes]"
TYPED = ("data=camvid", "size=[64,64]", "device=cpu", "rounds=6", NETWORKS)


def test_what_fits_is_told_with_its_command_and_remembered(tmp_path, capfd):
    given = (*TYPED, "budget.gmacs=0.02", f"paths.logs={tmp_path}")
    assert called(choose, *given, "again=true") == 0
    first = capfd.readouterr()
    assert "preparing hyctas_s_cityscapes" in first.err
    said = json.loads(first.out.splitlines()[-1])
    assert said["fitting"] == ["hyctas_s_cityscapes"]
    assert said["excluded"] == {"mobile_basic_cityscapes_fine": ["0.02883 GMACs"]}
    assert set(said["again"]) == {"hyctas_s_cityscapes", "mobile_basic_cityscapes_fine"}
    (command,) = said["train"]
    assert command == (
        "python -m segsuite.train experiment=hyctas_s_cityscapes data=camvid "
        f"paths.logs={tmp_path} trainer=cpu"
    )
    assert called(choose, *given) == 0
    second = capfd.readouterr()
    assert "preparing" not in second.err
    assert json.loads(second.out.splitlines()[-1]) == said | {"again": {}}
    written = sorted(tmp_path.glob("choose/choice/*/result.json"))
    assert len(written) == 2
    record = json.loads(written[0].read_text())["record"]
    assert record["kind"] == "choose" and len(record["entries"]) == 2
    assert (written[0].parent / "choice.png").exists()


def test_mistakes(tmp_path, capfd):
    logs = f"paths.logs={tmp_path}"
    for given, said in (
        ((), "no budget was given; type one or several of budget.ms=20"),
        (("budget.ms=-1",), "budget.ms"),
        (("budget.fps=3",), "budget.fps"),
        (("budget.ms=5", "experiments=[]"), "names no network to choose from"),
        (("budget.ms=5", "experiments=[segvit_vitz]"), "there is no experiment segvit_vitz; did"),
        (("budget.ms=5", "experiments=segvit_vitt"), "type experiments=[segvit_vitt]"),
        (("budget.ms=5", "size=[64]"), "[64] is no size; type two sides"),
        (("budget.ms=5", "rounds=1"), "rounds=1 says little; type 5 or more"),
        (("budget.ms=5", "runs=/nowhere"), "runs=/nowhere is no folder; type the folder of your"),
    ):
        assert called(choose, *TYPED, *given, logs) == 2
        assert said in " ".join(capfd.readouterr().err.split())


def test_a_budget_that_nothing_meets_is_said(tmp_path, capfd):
    assert called(choose, *TYPED, "budget.params=0.001", f"paths.logs={tmp_path}") == 0
    assert (
        "no network keeps to 0.001 M parameters; nearest is mobile_basic" in capfd.readouterr().out
    )


def test_data_keep_their_name_whatever_else_is_typed_of_them(tmp_path, capfd):
    """Scenes are the default; experiments have data of their own."""
    given = ("data.crop_size=[64,64]", "data.num_classes=7", "device=cpu", "rounds=5")
    one = "experiments=[hyctas_s_cityscapes]"
    assert called(choose, *given, one, "budget.params=9", f"paths.logs={tmp_path}") == 0
    (command,) = json.loads(capfd.readouterr().out.splitlines()[-1])["train"]
    assert command == (
        "python -m segsuite.train experiment=hyctas_s_cityscapes data=scenes data.num_classes=7 "
        f"data.crop_size=[64,64] paths.logs={tmp_path} trainer=cpu"
    )
