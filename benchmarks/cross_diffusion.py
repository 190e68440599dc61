"""Time and memory of cross-diffusion attention against its peers, in one run.

    python benchmarks/cross_diffusion.py                       # one CPU thread, float32
    python benchmarks/cross_diffusion.py --device cuda --dtype bfloat16

Batch 1, 8 heads of width 64. Times are medians over repetitions in which all methods take turns;
memory is the peak above the inputs: of torch's allocator on a GPU, else of a process of its own.
A method that fails is named, and the others go on.
"""

import argparse
import csv
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mutualformer import cross_diffusion

HEADS, DIM, EPSILON = 8, 64, 0.6
PEER = "joint attention"
BACKENDS = ("matrix_free", "flex", "triton")


def authors_formula(q_r: Tensor, k_r: Tensor, v_r: Tensor, q_d: Tensor, k_d: Tensor, v_d: Tensor):
    """The diffusion as the authors' release does it: D as diagonal matrices, S^(0) as a matrix."""
    root = q_r.shape[-1] ** 0.5
    s_r, s_d = (q_r @ k_r.mT / root).softmax(-1), (q_d @ k_d.mT / root).softmax(-1)

    def normalise(affinity: Tensor) -> Tensor:
        degree = torch.diag_embed(affinity.sum(-1).rsqrt())
        return (degree @ affinity @ degree).mT

    n_r, n_d = normalise(s_r), normalise(s_d)
    identity = torch.eye(s_r.shape[-1], device=s_r.device, dtype=s_r.dtype).expand_as(s_r)
    target = (1 - EPSILON) * (s_r + s_d)
    s_rd = EPSILON * (n_r @ identity @ n_d.mT) + target
    s_dr = EPSILON * (n_d @ identity @ n_r.mT) + target
    return s_r @ v_r, s_d @ v_d, s_rd @ v_d, s_dr @ v_r


def joint_attention(q_r: Tensor, k_r: Tensor, v_r: Tensor, q_d: Tensor, k_d: Tensor, v_d: Tensor):
    """PyTorch's fused attention over the 2N concatenated tokens."""
    joint = [torch.cat(pair, -2) for pair in ((q_r, q_d), (k_r, k_d), (v_r, v_d))]
    return (F.scaled_dot_product_attention(*joint),)


def cross_attention(q_r: Tensor, k_r: Tensor, v_r: Tensor, q_d: Tensor, k_d: Tensor, v_d: Tensor):
    """PyTorch's fused attention from either modality to the other."""
    return (
        F.scaled_dot_product_attention(q_r, k_d, v_d),
        F.scaled_dot_product_attention(q_d, k_r, v_r),
    )


def methods(num_iterations: list[int], backends: list[str]) -> dict[str, Callable]:
    """Return what is compared, by name."""

    def ours(count: int, backend: str) -> Callable:
        return lambda *tensors: cross_diffusion(
            *tensors, epsilon=EPSILON, num_iterations=count, backend=backend
        )

    named = {
        f"{backend} T={count}": ours(count, backend)
        for backend in backends
        for count in num_iterations
    }
    return {
        **named,
        "dense T=1": ours(1, "dense"),
        "authors' formula": authors_formula,
        PEER: joint_attention,
        "cross-attention": cross_attention,
    }


def quadratic_copies(name: str) -> int:
    """Estimate how many N × N matrices per head a method keeps for its backward pass."""
    return {"dense T=1": 12, "authors' formula": 20}.get(name, 0)


def make_inputs(num_tokens: int, device: str, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (1, HEADS, num_tokens, DIM)
    return [
        torch.randn(shape, generator=generator).to(device, dtype).requires_grad_() for _ in range(6)
    ]


def step(method: Callable, inputs: list[Tensor], with_backward: bool) -> float:
    """Run a method once; returns seconds."""
    cuda = inputs[0].is_cuda
    if cuda:
        torch.cuda.synchronize()
    begin = time.perf_counter()
    with torch.set_grad_enabled(with_backward):
        outputs = method(*inputs)
    if with_backward:
        torch.autograd.grad(outputs, inputs, [torch.ones_like(x) for x in outputs])
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def allocated_megabytes(method: Callable, inputs: list[Tensor]) -> float:
    """Measure the peak of one forward and backward above the inputs, on a GPU that is warm."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step(method, inputs, True)
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def resident_megabytes(arguments: tuple) -> float:
    """Measure the same on a CPU, in a process that has done nothing else."""
    name, num_iterations, backends, num_tokens, dtype = arguments
    torch.set_num_threads(1)
    method = methods(num_iterations, backends)[name]
    step(method, make_inputs(2, "cpu", dtype), True)  # what libraries allocate once
    inputs = make_inputs(num_tokens, "cpu", dtype)
    Path("/proc/self/clear_refs").write_text("5")  # starts the peak anew (Linux)
    before = resident_kilobytes("VmRSS")
    step(method, inputs, True)
    return (resident_kilobytes("VmHWM") - before) / 2**10


def resident_kilobytes(field: str) -> int:
    """Read the present (VmRSS) or the largest (VmHWM) resident size of this process."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(field))


def fits(name: str, num_tokens: int, device: str, dtype: torch.dtype) -> bool:
    needed = quadratic_copies(name) * HEADS * num_tokens**2 * dtype.itemsize
    if device == "cuda":
        available = torch.cuda.get_device_properties(0).total_memory
    else:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return needed < 0.7 * available


def resident_apart(job: tuple) -> float:
    """Measure it in a process that has imported torch, and done nothing else."""
    fresh = multiprocessing.get_context("forkserver")
    fresh.set_forkserver_preload(["mutualformer.ops"])  # once, for all processes
    with fresh.Pool(1) as pool:
        return pool.apply(resident_megabytes, (job,))


def measure(
    options: argparse.Namespace,
    num_tokens: int,
    in_fresh_process: Callable[[tuple], float] = resident_apart,
) -> list[dict]:
    """Measure every method with that many tokens.

    Options are those of the command line; the last argument takes the memory on a CPU.
    """
    dtype = getattr(torch, options.dtype)
    names = methods(options.iterations, options.backend)
    inputs = make_inputs(num_tokens, options.device, dtype)
    chosen, left_out = [], {}
    for name in names:
        if not fits(name, num_tokens, options.device, dtype):
            left_out[name] = {"note": "does not fit in memory"}
            continue
        try:  # which also warms up
            for with_backward in (False, True):
                step(names[name], inputs, with_backward)
            chosen.append(name)
        except Exception as error:  # whatever a compiler or a device may raise
            reason = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:200]
            left_out[name] = {"failed": reason}
    times: dict[tuple[str, bool], list[float]] = {}
    for _ in range(options.repeats):
        for name in chosen:
            for with_backward in (False, True):
                seconds = step(names[name], inputs, with_backward)
                times.setdefault((name, with_backward), []).append(seconds)
    rows = []
    peer = {both: statistics.median(times[PEER, both]) for both in (False, True)}
    for name in names:
        row = {"tokens": num_tokens, "method": name}
        if name in left_out:
            row |= left_out[name]
        else:
            forward, both = (statistics.median(times[name, x]) for x in (False, True))
            if options.device == "cuda":
                megabytes = allocated_megabytes(names[name], inputs)
            else:
                job = (name, options.iterations, options.backend, num_tokens, dtype)
                megabytes = in_fresh_process(job)
            row |= {
                "forward_ms": round(1e3 * forward, 2),
                "forward_backward_ms": round(1e3 * both, 2),
                "forward_ratio": round(forward / peer[False], 2),
                "forward_backward_ratio": round(both / peer[True], 2),
                "peak_mb": round(megabytes, 1),
            }
        rows.append(row)
        report(row)
    return rows


def report(row: dict) -> None:
    if "peak_mb" not in row:
        why = row.get("failed") or row.get("note")
        print(f"{row['tokens']:>6}  {row['method']:<18} {why}", flush=True)
        return
    print(
        f"{row['tokens']:>6}  {row['method']:<18} {row['forward_ms']:>10.1f} ms"
        f" {row['forward_ratio']:>7.2f} ×   {row['forward_backward_ms']:>10.1f} ms"
        f" {row['forward_backward_ratio']:>7.2f} ×  {row['peak_mb']:>9.1f} MB",
        flush=True,
    )


def plot(rows: list[dict], path: Path, title: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name in dict.fromkeys(row["method"] for row in rows):
        points = [row for row in rows if row["method"] == name and "peak_mb" in row]
        tokens = [row["tokens"] for row in points]
        for axis, key in zip(axes, ("forward_backward_ms", "peak_mb"), strict=True):
            axis.loglog(tokens, [max(row[key], 0.1) for row in points], marker="o", label=name)
    for axis, label in zip(axes, ("forward + backward, ms", "peak memory, MB"), strict=True):
        axis.set(xlabel="tokens N per modality", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[121, 484, 1936, 7744])
    parser.add_argument("--iterations", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, help="on a GPU: all of them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/cross_diffusion.csv"))
    options = parser.parse_args()
    serving = BACKENDS if options.device == "cuda" else BACKENDS[:1]
    options.backend = options.backend or list(serving)
    if not {*options.backend} <= {*serving}:
        parser.error(f"--backend is {options.backend}, expected of {serving} on {options.device}")
    torch.set_num_threads(options.threads)
    machine = (
        torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or "CPU"
    )
    title = f"{machine}, {options.dtype}, {options.threads} thread(s), torch {torch.__version__}"
    print(title)
    print(f"{'N':>6}  {'method':<18} {'forward':>13} {'ratio':>9}   {'with backward':>13}"
          f" {'ratio':>9}  {'peak':>12}   (ratio to {PEER})")  # fmt: skip
    rows = [row for num_tokens in options.tokens for row in measure(options, num_tokens)]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(key for row in rows for key in row))
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, options.output.with_suffix(".png"), title)
    print(f"Wrote {options.output} and {options.output.with_suffix('.png')}")


if __name__ == "__main__":
    main()
