"""What a figure was measured on."""

import torch

from segsuite.measure.machine import machine, processor, shown


def test_a_processor_is_named_with_its_instructions():
    facts = machine(torch.device("cpu"))
    kind = torch.backends.cpu.get_cpu_capability()
    assert shown(facts).startswith(f"{processor()} ({kind}), {torch.get_num_threads()} threads")
    del facts["instructions"]  # as in records of before
    assert shown(facts).startswith(f"{processor()}, ")
