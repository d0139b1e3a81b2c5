"""Networks as files for other runtimes: ONNX and ExecuTorch, float and int8, each compared."""
