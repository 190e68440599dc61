"""How long a user waits before anything happens, and how much memory it takes.

Prints a Markdown table: whole processes, medians of interleaved repetitions, `import mutualformer`
and its block as ratios against `import torch`.

    python benchmarks/start_up.py
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

IMPORTS = {
    "import torch": "import torch",
    "import mutualformer": "import mutualformer",
    "… and its block": "from mutualformer import MutualFormerBlock, cross_diffusion",
    "… and its network": "from mutualformer import MutualFormerNetwork",
}
COMMANDS = ("fit", "validate", "test", "predict", "export", "evaluate", "compare", "sweep", "trial")
COMMAND_LINES = [
    ["--help"],
    *([command, "--help"] for command in (*COMMANDS, "table", "data")),
    *(["data", command, "--help"] for command in ("list", "check", "prepare")),
    ["data", "list"],
    ["table", "experiments/tables/table1_rgbd_sod.yaml"],
    ["sweep", "experiments/ablations/quick.yaml", "--status"],
]


def measure(command: list[str]) -> tuple[float, float]:
    """Return seconds and peak memory in MB of a process, which must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        assert process.stderr is not None
        sys.exit(f"{' '.join(command)} failed:\n{process.stderr.read().decode()}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    repetitions = parser.parse_args().repetitions
    commands = {name: [sys.executable, "-c", code] for name, code in IMPORTS.items()}
    program = [sys.executable, "-m", "lightning_modules.main"]
    commands |= {f"mutualformer {' '.join(words)}": [*program, *words] for words in COMMAND_LINES}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for repetition in range(repetitions + 1):
        for name, command in commands.items():
            result = measure(command)
            if repetition:  # the first one warms the file system's cache
                measured[name].append(result)
    torch_seconds = statistics.median(seconds for seconds, _ in measured["import torch"])
    print("| process | s | × import torch | peak, MB |")
    print("|---|---:|---:|---:|")
    for name, results in measured.items():
        seconds = statistics.median(result[0] for result in results)
        memory = statistics.median(result[1] for result in results)
        ratio = f"{seconds / torch_seconds:.2f}" if "import" in name or "…" in name else ""
        print(f"| `{name}` | {seconds:.2f} | {ratio} | {memory:.0f} |")


if __name__ == "__main__":
    main()
