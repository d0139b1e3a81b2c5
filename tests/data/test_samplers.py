from itertools import chain, islice

import pytest

from segsuite.data.samplers import Draw, EndlessBatches, ShardedOnce


def batches(count: int, **how: int) -> list[list[Draw]]:
    options = {"length": 10, "batch_size": 4, "seed": 0, **how}
    return list(islice(EndlessBatches(**options), count))


def test_every_pass_holds_every_sample_once() -> None:
    draws = [*chain.from_iterable(batches(25))]
    assert [number for _, number in draws] == list(range(100))
    passes = [[index for index, _ in draws[i : i + 10]] for i in range(0, 100, 10)]
    assert all(sorted(p) == list(range(10)) for p in passes)
    assert len({tuple(p) for p in passes}) > 5


def test_the_order_depends_on_the_seed() -> None:
    assert batches(5) == batches(5)
    assert batches(5) != batches(5, seed=1)


@pytest.mark.parametrize("start", [0, 1, 7, 23])
def test_a_restart_goes_on_where_it_stopped(start: int) -> None:
    assert batches(6, start=start) == batches(start + 6)[start:]


def test_ranks_share_out_what_one_process_would_draw() -> None:
    ranks = [batches(6, batch_size=2, rank=rank, world_size=3, start=2) for rank in range(3)]
    together = [[*chain.from_iterable(parts)] for parts in zip(*ranks, strict=True)]
    assert together == batches(8, batch_size=6)[2:]


def test_a_batch_may_be_larger_than_the_data() -> None:
    assert [index for index, _ in batches(1, length=2, batch_size=6)[0]].count(0) == 3


@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 12])
def test_evaluation_sees_everything_once_over_all_ranks(world_size: int) -> None:
    shards = [
        list(ShardedOnce(length=10, rank=rank, world_size=world_size)) for rank in range(world_size)
    ]
    assert sorted(chain.from_iterable(shards)) == list(range(10))
    assert all(
        len(ShardedOnce(length=10, rank=rank, world_size=world_size)) == len(shard)
        for rank, shard in enumerate(shards)
    )
