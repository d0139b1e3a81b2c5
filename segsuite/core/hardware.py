"""What the machine still has."""

import torch


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken now; on a CPU what the system calls available."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as facts:
            (line,) = (line for line in facts if line.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    except OSError:  # not Linux: unknown, and left to the system
        return 2**62
