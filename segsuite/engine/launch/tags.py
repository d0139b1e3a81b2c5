"""Words by which dashboards find a run."""

import re
from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf


def tags(cfg: DictConfig, choices: Mapping[str, str | None]) -> list[str]:
    """The family of the network, the experiment and the data set, as far as there are such.

    Args:
        choices: what was chosen of each group of the config.
    """
    target = str(OmegaConf.select(cfg, "method.network._target_"))
    ours = re.match(r"segsuite\.methods\.(\w+)\.", target)
    family = ours[1] if ours else choices.get("method")
    found = (family, choices.get("experiment"), choices.get("data"))
    return list(dict.fromkeys(str(tag) for tag in found if tag))
