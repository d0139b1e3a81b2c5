"""One honest sentence per network: faster, slower, or no difference that shows."""

from collections.abc import Mapping

from segsuite.measure.latency import ROUNDS, Ratio


def verdict(name: str, baseline: str, ratios: Mapping[int, Ratio]) -> str:
    """What may be claimed of a network beside a baseline.

    A speed-up is claimed only where batch 1 was measured and is faster beyond doubt: operations
    saved, or a gain at a large batch alone, are none (tomesd #57, #40: users found it missing).

    Args:
        ratios: the paired ratios by batch size.
    """
    single = ratios.get(1)
    if single is None:
        return f"{name}: batch 1 was not measured, so no speed-up is claimed; add it to batch_sizes"
    if not single.conclusive:
        return (
            f"{name}: too few rounds to tell it from {baseline} at batch 1 {_span(single)}; "
            f"{ROUNDS} are needed"
        )
    if single.slower:
        times = f"{single.median:.2f} times as fast as {baseline}"
        return f"{name}: slower, {times} at batch 1 {_span(single)}"
    if not single.faster:
        return f"{name}: no clear difference from {baseline} at batch 1 {_span(single)}"
    told = {n: f"{r.median:.2f} at batch {n} {_span(r)}" for n, r in sorted(ratios.items())}
    claims = [text for batch, text in told.items() if ratios[batch].faster]
    others = [text for batch, text in told.items() if not ratios[batch].faster]
    but = f"; but not clearly so: {', '.join(others)}" if others else ""
    return f"{name}: times as fast as {baseline}: {', '.join(claims)}{but}"


def _span(ratio: Ratio) -> str:
    return f"({ratio.low:.2f} to {ratio.high:.2f})"
