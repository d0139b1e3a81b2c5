"""What a measurement was made on: without it no figure means anything."""

import os
import platform
from pathlib import Path

import torch


def machine(device: torch.device) -> dict[str, str | int]:
    """Processor or GPU, threads, and versions; plain types."""
    facts: dict[str, str | int] = {
        "device": device.type,
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["cuda"] = torch.version.cuda or "none"
    return facts


def shown(facts: dict[str, str | int]) -> str:
    """One phrase: "Xeon ... (AVX512), 2 threads, torch 2.15.0"."""
    widest = f" ({facts['instructions']})" if "instructions" in facts else ""  # of today's records
    where = facts.get("gpu") or f"{facts['processor']}{widest}, {facts['threads']} threads"
    return f"{where}, torch {facts['torch']}"


def processor() -> str:
    """The CPU's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
