"""Operations in closed form: what a network's parts and its tokens say it must cost."""

from functools import singledispatch

from torch import nn

from segsuite.measure.cost import Cost
from segsuite.nn.token_trace import TokenTrace


@singledispatch
def closed_form_of(network: nn.Module, trace: TokenTrace | None) -> Cost | None:
    """Operations of one `predict` to native stride by formula, excluded modules left out.

    Tokens are counted as computed (masked rows too), since that is what the machine does. None for
    networks whose formula is not known here; a family adds its own by `closed_form_of.register`,
    where its package is imported, as `methods/segvit` does.
    """
    return None
