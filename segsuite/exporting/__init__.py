"""Networks as files for ONNX Runtime, ExecuTorch and LiteRT, float and int8, each compared."""
