"""Everything that a GPU is needed for, by one command, in order of importance.

    python benchmarks/on_gpu.py                 # at most 25 minutes
    python benchmarks/on_gpu.py --minutes 9     # what there is time for; again for the rest
    python benchmarks/on_gpu.py --device cpu    # that it runs at all, at reduced sizes

Each step runs in a process of its own, is stopped when its time is over, and is written to
`--output` as it ends. The same command runs again what failed or could not be run, and what was
measured on another device, with another torch or other code. It prints a report in Markdown for
`benchmarks/README.md`, which says what was not run and why, and ends with 0 if all was.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from gpu_steps import ROOT, STEPS, Step, first_line

DONE, FAILED, NOT_RUN = "done", "failed", "not run"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=25, help="for all steps together")
    parser.add_argument("--output", type=Path, default=Path("runs/on_gpu"))
    options = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * options.minutes
    small, folder = options.device == "cpu", options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the step that runs, too
    # What all steps need is imported once, by a process that they come from and that does nothing
    # else: a process that has touched the GPU could not be forked.
    apart = multiprocessing.get_context("forkserver")
    apart.set_forkserver_preload(["torch", "lightning_modules.cli.training", "network"])
    places = (str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))

    records: dict[str, dict] = {}
    for step in STEPS:
        # What was measured elsewhere, or by other code, is no result of this.
        first = records.get(STEPS[0].title, {})
        made_by = {"code": fingerprint(), "small": small, "machine": first.get("rows")}
        known = read(folder, step)
        is_kept = known.get("status") == DONE and known.get("made_by") == made_by
        if step is STEPS[0] or not is_kept:
            left = deadline - time.monotonic()
            known = run(apart, step, small, folder, left)
            known["made_by"] = made_by
            write(folder / f"{slug(step)}.json", json.dumps(known, indent=1))
        records[step.title] = known
        note = "kept" if is_kept and step is not STEPS[0] else f"{known['seconds']:.0f} s"
        print(f"{step.title}: {known['status']} ({note}) {known['reason']}", flush=True)
        write(folder / "report.md", report(records))
        if step is STEPS[0] and known["status"] != DONE:
            print("error: without a device nothing else runs: --device cpu", file=sys.stderr)
            return 2
    print(f"\n{report(records)}", end="")
    return int(any(record["status"] != DONE for record in records.values()))


def run(
    apart: multiprocessing.context.ForkServerContext,
    step: Step,
    small: bool,
    folder: Path,
    seconds_left: float,
) -> dict:
    """Run a step in a group of processes, which is ended with it; returns its record."""
    seconds = 60 * step.minutes * (10 if small else 1)  # a CPU may be busy
    limit = min(seconds, seconds_left)
    record = {"status": NOT_RUN, "reason": "no time was left", "rows": [], "seconds": 0.0}
    if limit < min(seconds, 20):
        return record
    mine, theirs = apart.Pipe(duplex=False)
    start = time.monotonic()
    process = apart.Process(target=work, args=(theirs, step, small, folder))
    process.start()
    theirs.close()
    try:
        if mine.poll(limit):
            record |= mine.recv()
        else:
            record |= {"status": FAILED, "reason": f"stopped after {limit:.0f} s"}
    except EOFError:
        process.join()
        reason = f"its process ended with {process.exitcode}: see {slug(step)}.log"
        record |= {"status": FAILED, "reason": reason}
    finally:
        process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return record | {"seconds": round(time.monotonic() - start, 1)}


def work(results: Connection, step: Step, small: bool, folder: Path) -> None:
    """Run a step in this process, with its output in a file, and send what came of it."""
    os.setsid()
    log = os.open(folder / f"{slug(step)}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(ROOT)
    try:
        rows = step.run(small, folder)
        count = sum("failed" in row for row in rows)
        verdict = {"status": FAILED, "reason": f"{count} failed"} if count else {"status": DONE}
        results.send({"reason": "", **verdict, "rows": rows})
    except ModuleNotFoundError as error:
        traceback.print_exc()
        results.send({"status": NOT_RUN, "reason": f"the package {error.name} is missing"})
    except Exception as error:
        traceback.print_exc()
        results.send({"status": FAILED, "reason": first_line(error)})


def fingerprint() -> str:
    """Tell one state of the code from another."""
    total = hashlib.sha256()
    for name in ("mutualformer", "datamodules", "lightning_modules", "benchmarks", "experiments"):
        for path in sorted((ROOT / name).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                total.update(path.read_bytes())
    return total.hexdigest()[:12]


def read(folder: Path, step: Step) -> dict:
    """Return what is known of a step; nothing, if its file was cut."""
    try:
        return json.loads((folder / f"{slug(step)}.json").read_text())
    except (OSError, ValueError):
        return {}


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def slug(step: Step) -> str:
    return re.sub(r"\W+", "_", step.title).lower()


def report(records: dict[str, dict]) -> str:
    """Write Markdown: a table per step, and what was not run."""
    parts, missing = [], []
    for step in STEPS:
        record = records.get(step.title, {"status": NOT_RUN, "reason": "not reached", "rows": []})
        if record["status"] != DONE:
            why = f"{record['status']}: {record['reason']}"
            missing.append({"step": step.title, "why": why})
        if record["rows"]:
            aim = f"\n\nTo be reached: {step.aim}." if step.aim else ""
            parts.append(f"### {step.title}{aim}\n\n{table(record['rows'])}")
    if missing:
        parts.append(f"### Not run, or failed\n\n{table(missing)}")
    return "\n\n".join(parts) + "\n"


def table(rows: list[dict]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[str(row.get(key, "")).replace("|", "\\|") for key in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
