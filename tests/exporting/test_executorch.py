"""ExecuTorch programs: one delegate, the same answers."""

import pytest

pytest.importorskip("executorch")
pytest.importorskip("torchao")

from segsuite.exporting.executorch_file import (
    ExecutorchRunner,
    to_program,
    write_program,
)
from segsuite.exporting.graph import Graph
from segsuite.exporting.parity import compared
from tests.exporting.made import SIZE, images, small


def delegates(program):
    """Into how many pieces XNNPACK's part is cut; 1 when nothing in between stays outside."""
    nodes = program.exported_program().graph_module.graph.nodes
    return sum("executorch_call_delegate" in str(node.target) for node in nodes)


@pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])
def test_one_delegate_and_the_same_answers(int8, tmp_path):
    network = small()
    graph = Graph(network, size=SIZE, output="grid")
    program = to_program(graph, images=images(16) if int8 else None)
    assert delegates(program) == 1
    write_program(program, tmp_path / "a.pte")
    run = ExecutorchRunner(tmp_path / "a.pte")
    found = compared(run, network, graph, images(2, seed=5))
    assert found.difference < (0.1 if int8 else 1e-5) * found.scale
    assert found.agreement >= (0.9 if int8 else 0.9999)
