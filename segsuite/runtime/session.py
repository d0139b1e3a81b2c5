"""ONNX Runtime's sessions on the CPU."""

from pathlib import Path
from typing import Any

from segsuite.core.errors import CheckpointError, MissingExtra


def session(model: str | Path | bytes, *, threads: int = 0) -> Any:
    """The model, ready to be run.

    Args:
        model: path of a file, or the bytes that would be in it.
        threads: threads of one operator; 0 leaves the choice to ONNX Runtime.

    Raises:
        CheckpointError: ONNX Runtime does not know an operator of it, or it is no model.
        MissingExtra: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtra("onnxruntime", "export") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    for pool in ("intra", "inter"):  # threads that wait by spinning slow their neighbours down
        options.add_session_config_entry(f"session.{pool}_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of kinds of its own
        name = "the model" if isinstance(model, bytes) else model
        raise CheckpointError(f"ONNX Runtime cannot load {name}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first thing that an error says, or what kind of error it is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
