"""Exported files read back: what they say of themselves, and labels by ONNX Runtime; no torch."""
