"""From config to objects: what fits is built, and each mistake is named as it was typed."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from segsuite.core.build import build, check
from segsuite.core.errors import ConfigError, DataError
from tests.core.parts import House, Trunk, anything

ALLOW = ("tests.core.",)
TRUNK = {"_target_": "tests.core.parts.Trunk", "depth": 4}


def house(**keys: Any) -> dict[str, Any]:
    """A config whose parts stand elsewhere, as in conf/method/segvit.yaml."""
    given = {"_target_": "tests.core.parts.House", "trunk": "${method.backbone}"} | keys
    return OmegaConf.create({"method": {"backbone": dict(TRUNK), "sharing": None, "house": given}})


def built(config: Any, path: str = "method.house", **given: Any) -> Any:
    return build(config.method.house, path=path, allow=ALLOW, **given)


def complaint(config: Any) -> str:
    with pytest.raises(ConfigError) as found:
        check(config.method.house, path="method.house", allow=ALLOW)
    return str(found.value)


def test_objects_lists_and_dicts_come_out_plain():
    made = built(house(size=[2, 3], names=["a"], extra={"b": 1}, roof={**TRUNK, "depth": 2}))
    assert isinstance(made, House) and made.trunk.depth == 4 and made.roof.depth == 2
    assert type(made.size) is list and type(made.extra) is dict and made.extra == {"b": 1}


def test_objects_that_are_ready_are_passed_as_they_are():
    trunk, config = Trunk(depth=9), house(roof=None)
    del config.method.house.trunk
    assert built(config, trunk=trunk).trunk is trunk


def test_partials_wait_for_the_rest_at_any_depth():
    made = built(house(make={**TRUNK, "_partial_": True}))
    assert isinstance(made.make, partial) and made.make(width=2.0).width == 2.0
    config = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.5}
    optimizer = build(config)([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.defaults["lr"] == 0.5


def test_a_method_of_a_class_can_be_the_target():
    made = build({"_target_": "tests.core.parts.Trunk.shallow", "width": 3}, allow=ALLOW)
    assert (made.depth, made.width) == (1, 3)


def test_open_ended_targets_take_every_key():
    config = {"_target_": "tests.core.parts.anything", "some": 1}
    assert build(config, allow=ALLOW, more=anything) == {"some": 1, "more": anything}


def test_a_misspelt_key_is_named_where_it_is_typed():
    config = house()
    config.method.backbone.depht = 3
    said = "`method.backbone.depht` is not an argument of Trunk; did you mean `depth`?"
    assert complaint(config) == said
    assert complaint(house(naems=["a"])) == (
        "`method.house.naems` is not an argument of House; did you mean `names`?"
    )


def test_a_key_that_is_near_none_lists_those_that_are_known():
    said = complaint(house(zzz=1))
    assert "`method.house.zzz`" in said and "known: extra, make, names, roof, size, trunk" in said


def test_what_is_given_ready_built_is_not_suggested():
    with pytest.raises(ConfigError, match="known: extra, make, names, roof, size") as found:
        built(house(trnk=1), trunk=Trunk(depth=1))
    assert "`trunk`" not in str(found.value)


def test_a_chain_of_references_ends_at_the_key_that_can_be_typed():
    config = house(trunk="${method.middle}")
    config.method.middle = "${method.backbone}"
    config.method.backbone.depht = 3
    assert "`method.backbone.depht`" in complaint(config)


def test_mistakes_within_lists_and_partials_are_found():
    config = house(make={"_target_": "tests.core.parts.Trunk", "_partial_": True, "dpth": 1})
    assert "`method.house.make.dpth`" in complaint(config)
    config = house(extra={"parts": [TRUNK, {**TRUNK, "depht": 1}]})
    assert "`method.house.extra.parts[1].depht`" in complaint(config)


def test_what_is_missing_is_named():
    config = house()
    del config.method.backbone.depth
    assert complaint(config) == (
        "`method.backbone.depth` is missing: Trunk needs it; type +method.backbone.depth=..."
    )
    config.method.backbone.depth = "???"
    assert "`method.backbone.depth` has no value yet" in complaint(config)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"depth": "deep"},
            "`method.backbone.depth=deep` does not fit: Trunk needs a whole number",
        ),
        ({"depth": 2.5}, "`method.backbone.depth=2.5` does not fit"),
        ({"depth": None}, "`method.backbone.depth=null` does not fit"),
        ({"depth": [4]}, "`method.backbone.depth=[4]` does not fit"),
        ({"skipped": False}, "`method.backbone.skipped=false` does not fit"),  # although equal to 0
        ({"width": "1e-4x"}, "needs a number"),
        ({"kind": "flat"}, "`method.backbone.kind=flat` is not one of plain, deep"),
    ],
)
def test_values_that_do_not_fit_are_named(keys, said):
    config = house()
    config.method.backbone.update(keys)
    assert said in complaint(config)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"size": 512}, "House needs a list of 2 (a whole number; a whole number)"),
        ({"size": [512]}, "needs a list of 2"),
        ({"names": "one"}, "needs a list (each text); type"),
        ({"extra": [1]}, "needs a group of keys or null"),
        ({"make": 3}, "`method.house.make=3` does not fit"),
        ({"roof": "none"}, "type null to leave it out"),
        ({"roof": "${method.sharing}"}, "`method.sharing=cts` does not fit"),
        ({"roof": "${method.sharing}"}, "method/sharing=cts chooses that part"),
    ],
)
def test_containers_and_parts_that_do_not_fit_are_named(keys, said):
    config = house(**keys)
    config.method.sharing = "cts"
    assert said in complaint(config)


@pytest.mark.parametrize("keys", [{"width": 2}, {"depth": 2}, {"kind": "deep"}])
def test_values_that_fit_pass(keys):
    config = house(roof=None, size=[1, 2], names=[], extra={})
    config.method.backbone.update(keys)
    check(config.method.house, path="method.house", allow=ALLOW)


@pytest.mark.parametrize("value", ["none", 5, {"depth": 3}])
def test_what_describes_no_object_is_named(value):
    with pytest.raises(ConfigError, match=r"`callbacks.images=.*describes no object"):
        build(value, path="callbacks.images")


def test_our_errors_in_a_constructor_come_out_plain_and_others_say_where():
    config = {"_target_": "tests.core.parts.broken", "how": "data"}
    with pytest.raises(DataError, match=r"^no such image$"):
        build(config, path="data", allow=ALLOW)
    nested = house(trunk=config)
    with pytest.raises(DataError, match=r"^no such image$"):
        built(nested)
    with pytest.raises(ZeroDivisionError) as found:
        build({**config, "how": "badly"}, path="data", allow=ALLOW)
    assert found.value.__notes__ == ["while building `data`"]


def test_defects_in_parts_keep_their_kind_and_what_libraries_refuse_is_a_mistake():
    with pytest.raises(ZeroDivisionError) as found:
        built(house(trunk={"_target_": "tests.core.parts.broken", "how": "badly"}))
    assert found.value.__notes__ == ["while building `method.house`"]
    with pytest.raises(ConfigError, match=r"`method.drop` does not fit .*Dropout: .* but got 2"):
        build({"_target_": "torch.nn.Dropout", "p": 2}, path="method.drop")


def test_what_a_library_refuses_is_a_mistake_in_a_part_too_and_a_defect_of_ours_is_none():
    drop = {"_target_": "torch.nn.Dropout", "p": 2}
    with pytest.raises(ConfigError, match=r"`method.house` does not fit torch\S+Dropout: .* got 2"):
        built(house(trunk=drop))
    with pytest.raises(ValueError, match="a defect"):
        build({"_target_": "torch.nn.ModuleList"}, path="method", allow=ALLOW, modules=defective())


def defective() -> Iterator[torch.nn.Module]:
    raise ValueError("a defect")
    yield


def test_what_a_librarys_own_library_refuses_is_a_mistake_too():
    logger = {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "foo://x"}
    with pytest.raises(ConfigError, match=r"`logger\.csv` does not fit .*CSVLogger: .*foo"):
        build(logger, path="logger.csv")


def test_arguments_without_names_are_refused():
    config = house(_args_=[{"_target_": "torch.utils.collect_env.run", "command": "true"}])
    assert "arguments are given by name only" in complaint(config)


def test_nothing_is_built_before_everything_was_checked():
    calls = house(roof={"_target_": "tests.core.parts.broken", "how": "badly"}, naems=[])
    with pytest.raises(ConfigError, match="naems"):
        built(calls)


def test_what_a_library_cannot_make_of_numbers_that_fit_is_no_traceback():
    config = {"_target_": "torch.nn.Linear", "in_features": -4, "out_features": 2}
    with pytest.raises(ConfigError, match=r"`part` cannot be made of these settings: .*negative"):
        build(config, path="part")


@pytest.mark.parametrize(
    ("chosen", "key"),
    [
        (["method=essnet"], "method.network.decoder.output_stride"),
        (["method=mobile"], "method.head.output_stride"),
        (["method=mobile", "method/head=basic"], "method.head.output_stride"),
    ],
)
def test_strides_that_no_head_has_are_named(chosen, key):
    """Rates of convolutions follow from them."""
    from segsuite.engine.launch.entry_point import compose

    cfg = compose("train", [*chosen, f"{key}=20240501"])
    with pytest.raises(ConfigError, match=r"output_stride.*20240501.* 16"):
        check(cfg.method.network, path="method.network")
