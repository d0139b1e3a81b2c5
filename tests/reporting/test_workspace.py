"""A comparison as a workspace and a report of W&B, made without a server."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from segsuite.core.errors import ConfigError, MissingExtra
from segsuite.reporting import workspace as reporting
from segsuite.reporting.wandb_runs import logged_from, swept
from segsuite.reporting.workspace import Logged, report, save, to_json, workspace
from tests.reporting.named import named

ODD = 'it\'s a "<b>" = 50 % / ' + "long " * 60
LOGGED = Logged(
    project="segsuite",
    entity="me",
    title=ODD,
    groups=(ODD,),
    runs={"0123": "dense", "4567": ODD, "89ab": "b"},
    metrics=("train/loss", "val/miou", "test/miou", "val/pacc"),
    headline="test/miou",
    costs=("gmacs", "parameters"),
    swept=("method.sharing.windows", "seed", "final"),
    classes=tuple(f"iou/{ODD}{n}" for n in range(21)),
    images=("images/0", "tokens/0", "masks/0", "masks/1"),
    baseline="0123",
)


@pytest.fixture
def library():
    return pytest.importorskip("wandb_workspaces.workspaces")


def sections(made: dict) -> dict[str, list[dict]]:
    found = made["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in found}


def test_the_workspace_has_the_sections_in_order_and_the_baseline_pinned(library):
    made = to_json(workspace(LOGGED))
    kinds = {title: [p["viewType"] for p in panels] for title, panels in sections(made).items()}
    assert kinds == {
        "Final scores": ["Bar Chart", "Run Comparer"],
        "Accuracy against cost": ["Scatter Plot"] * 2,
        "What was swept": ["Parallel Coordinates Plot"],
        "Learning curves": ["Run History Line Plot"] * 6,
        "Classes": ["Bar Chart"] * 2,
        "Images": ["Media Browser"] * 3,
    }
    curve = sections(made)["Learning curves"][0]["config"]
    assert curve["metrics"] == ["val/miou"] and curve["groupArea"] == "minmax"
    assert curve["groupBy"] == "method.value.sharing.windows", "seeds are its spread"
    runs = made["spec"]["section"]["runSets"][0]
    assert runs["filters"]["filters"][0]["value"] == list(LOGGED.runs)
    assert runs["baselineRunId"] and runs["pinnedRunIds"] == [runs["baselineRunId"]]
    assert {name for section, name in named(made) if section == "config"} == {
        "method.value.sharing.windows",
        "seed.value",
        "final.value",
    }
    assert ("config", "final.value") in named(runs["runFeed"])
    assert len(made["displayName"]) == 128 and made["displayName"].startswith('it\'s a "-b-" - 50')
    unknown = to_json(workspace(replace(LOGGED, entity="")))["spec"]["section"]["runSets"][0]
    assert "baselineRunId" not in unknown, "it would be somebody else's"


def test_the_report_says_what_it_is_given_and_shows_the_baseline_first(library):
    made = to_json(report(LOGGED, text=f"Why?\n\n{ODD}"))
    words = [child.get("text") for block in made["spec"]["blocks"] for child in block["children"]]
    assert ["Why?", ODD.strip(), "Baseline, in black: dense", "Final scores"] == words[1:5]
    grids = [b["metadata"] for b in made["spec"]["blocks"] if b["type"] == "panel-grid"]
    assert len(grids) == 6
    for grid in grids:
        assert [runs["name"] for runs in grid["runSets"]] == ["baseline", "runs"]
        assert "project" not in grid["runSets"][0], "the report's own"
    (curves,) = [g for g in grids if g["runSets"][1]["grouping"]]
    assert curves["runSets"][1]["grouping"] == [
        {"section": "config", "name": "method.value.sharing.windows"},
        {"section": "config", "name": "final.value"},
    ]
    panels = curves["panelBankSectionConfig"]["panels"]
    assert [p["config"]["metrics"] for p in panels] == [["val/miou"], ["train/loss"], ["val/pacc"]]
    assert all(p["config"]["groupArea"] == "minmax" for p in panels)


def test_little_that_was_logged_is_a_small_workspace(library):
    nothing = {"costs": (), "swept": (), "classes": (), "images": (), "metrics": ("test/miou",)}
    little = replace(LOGGED, **nothing, baseline=None, runs={"0123": "a"})
    assert list(sections(to_json(workspace(little)))) == ["Final scores"]
    assert "Baseline" not in json.dumps(to_json(report(little)))


def test_without_the_library_its_extra_is_told(monkeypatch):
    monkeypatch.setattr(reporting, "find_spec", lambda name: None)
    for make in (workspace, report, save):
        with pytest.raises(MissingExtra, match=r"wandb-workspaces .* '\.\[wandb\]'"):
            make(LOGGED)


def test_nothing_is_saved_without_an_account(library, monkeypatch):
    monkeypatch.setattr("wandb.login", lambda **how: False)
    with pytest.raises(ConfigError, match="type `wandb login`"):
        save(LOGGED)


def test_both_are_saved_as_the_accounts_own(library, monkeypatch):
    sent = []

    def execute(query, variables):
        sent.append(variables)
        view = {"name": "nw-abc-v", "id": "VIEW", "spec": variables.get("spec", "{}")}
        return {"upsertView": {"view": view}, "project": {"internalId": "42"}}

    server = SimpleNamespace(
        _service_api=SimpleNamespace(execute_graphql=execute, app_url="https://wandb.ai"),
        default_entity="us",
        projects=lambda entity: [SimpleNamespace(name="segsuite")],
    )
    monkeypatch.setattr("wandb.login", lambda **how: True)
    monkeypatch.setattr("wandb.Api", lambda: server)
    address, _ = save(replace(LOGGED, entity=""), text="Why?")
    assert address.startswith("https://wandb.ai/us/segsuite?")
    views = [v for v in sent if "spec" in v]
    assert [view["entityName"] for view in views] == ["us", "us"]
    assert "baselineRunId" in views[0]["spec"] and '"id":"42"' in views[1]["spec"]
    server.default_entity = property()  # as a server that answers nonsense
    server._service_api.execute_graphql = lambda *_, **__: {}
    with pytest.raises(ConfigError, match="did not take the workspace of segsuite"):
        save(LOGGED)


def trained(folder: Path, *, wandb: bool = True, project: str = "segsuite", **config) -> Path:
    """What a training leaves behind."""
    logger = {"_target_": "segsuite.engine.loggers.WandbLogger", "project": project}
    logger |= {"entity": None, "name": folder.name, "group": "sweep"}
    written = {"run": {"folder": str(folder)}, "logger": {"wandb": logger} if wandb else {}}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({**written, **config}))
    (folder / "run.json").write_text(json.dumps({"id": f"id-{folder.name}", "starts": []}))
    (folder / "result.json").write_text(json.dumps({"optimized_metric": "test/miou"}))
    rows = [
        {"step": 1, "figures": {"val/miou": 0.5, "labels_ms": 3.0}},
        {"step": 2, "figures": {"test/miou": 0.5, "iou/a b": 1.0, "gmacs": 2.0}},
        {"step": 2, "masks": {"masks/0": {}}, "images": {"images/0": []}},
    ]
    if wandb:
        (folder / "wandb").mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "wandb" / "rows.jsonl").write_text(lines + '{"step": 3, "figu')
    return folder


def test_what_runs_have_logged_is_read_from_their_folders(tmp_path, caplog):
    folders = [
        trained(tmp_path / f"w{n}", seed=0, method={"w": n, "network": {"w": n, "x": "same"}})
        for n in (1, 2)
    ]
    silent = trained(tmp_path / "silent", wandb=False)
    assert logged_from([*folders, silent], baseline=folders[1]) == Logged(
        project="segsuite",
        entity="",
        title="sweep",
        groups=("sweep",),
        runs={"id-w1": "w1", "id-w2": "w2"},
        metrics=("val/miou", "test/miou"),
        headline="test/miou",
        costs=("gmacs", "labels_ms"),
        swept=("method.w",),
        classes=("iou/a b",),
        images=("images/0", "masks/0"),
        baseline="id-w2",
    )
    assert f"not in W&B, since they ran without logger=wandb: {silent}" in caplog.text
    with pytest.raises(ConfigError, match="train them with logger=wandb"):
        logged_from([silent])
    other = trained(tmp_path / "other", project="another")
    with pytest.raises(ConfigError, match="several projects of W&B: another, segsuite"):
        logged_from([*folders, other])


def test_what_was_swept_is_told_once_and_by_the_key_that_was_typed():
    first = {"a": {"x": 1}, "b": {"c": {"x": 1}}, "run": {"folder": "f1", "swept": ["b.c.x"]}}
    second = {"a": {"x": 2}, "b": {"c": {"x": 2}}, "run": {"folder": "f2", "swept": ["b.c.x"]}}
    assert swept([first | {"p": "f1/best"}, second | {"p": "f2/best"}]) == ["b.c.x"]
    assert swept([{"a": 1}, {"b": [1]}]) == ["a", "b"] and swept([{"a": 1}]) == []
