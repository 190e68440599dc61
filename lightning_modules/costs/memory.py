"""How much memory a function needs at once, beside what was held before it."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from mutualformer.errors import UserError


def peak_memory(run: Callable[[], object], device: torch.device) -> int:
    """Call a function and return the bytes that it held at once, without those held before.

    On a GPU those that torch's allocator gave out; on a CPU those of living tensors, as torch's
    profiler records them.

    Raises:
        UserError: the device is of another kind, of which neither is known.
    """
    if device.type not in ("cpu", "cuda"):
        raise UserError(
            f"the device is {device.type}, whose memory cannot be measured, expected a CPU or a "
            "CUDA GPU: give --trainer.accelerator=cpu"
        )
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_bytes())["traceEvents"]
    records = [event for event in events if event.get("name") == "[memory]"]
    held = peak = 0
    for record in sorted(records, key=lambda record: record["ts"]):
        held += record["args"]["Bytes"]
        peak = max(peak, held)
    return peak
