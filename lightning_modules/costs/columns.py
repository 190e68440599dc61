"""The costs that tables and figures show, and how their numbers are written."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lightning_modules.costs.cost_file import Cost
from lightning_modules.runs.score import Score
from lightning_modules.tables.table import Cell, Column, Row, Table

_IMAGE, _STEP = "Cost: one image", "training step"


class CostColumn(NamedTuple):
    """A cost.

    Attributes:
        name: in CSV files and on the command line.
        group: that heads it in tables, with its neighbours.
        heading: in tables, below that.
        title: on an axis.
        value: returns it, in the unit of the heading.
    """

    name: str
    group: str
    heading: str
    title: str
    value: Callable[[Cost], float]


COST_COLUMNS = (
    CostColumn(
        "params_m", _IMAGE, "Params (M)", "Parameters (millions)", lambda c: c.parameters / 1e6
    ),
    CostColumn("gflops", _IMAGE, "GFLOPs", "GFLOPs per image", lambda c: c.forward_flops / 1e9),
    CostColumn("ms", _IMAGE, "ms", "Milliseconds per image", lambda c: c.forward_ms),
    CostColumn("mib", _IMAGE, "MiB", "Memory of an image (MiB)", lambda c: c.forward_mib),
    CostColumn(
        "step_gflops",
        _STEP,
        "GFLOPs/image",
        "GFLOPs per image of a training step",
        lambda c: c.step_flops / 1e9,
    ),
    CostColumn("step_ms", _STEP, "ms", "Milliseconds per training step", lambda c: c.step_ms),
    CostColumn("step_mib", _STEP, "MiB", "Memory of a training step (MiB)", lambda c: c.step_mib),
)


def table_columns() -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Return the columns of a table, and what heads them."""
    columns = tuple(
        (x.group, Score(x.name, x.heading, higher_is_better=False)) for x in COST_COLUMNS
    )
    return columns, tuple(x.heading for x in COST_COLUMNS)


def cost_cells(cost: Cost | None, num_runs: int = 1) -> tuple[Cell, ...]:
    """Return the cells of a row; without values where nothing has been measured.

    Args:
        cost: of the row.
        num_runs: how many runs it is the cost of.
    """
    if cost is None:
        return (Cell(),) * len(COST_COLUMNS)
    values = [column.value(cost) for column in COST_COLUMNS]
    return tuple(Cell(x, num_seeds=num_runs, shown=three_digits(x)) for x in values)


def three_digits(value: float) -> str:
    """Return a number with three significant digits, or all those before its point.

    >>> three_digits(0.5321), three_digits(12.346), three_digits(1234.5), three_digits(0)
    ('0.532', '12.3', '1234', '0')
    """
    if value == 0:
        return "0"
    exponent = int(f"{value:.2e}".partition("e")[2])
    return f"{value:.{max(0, 2 - exponent)}f}"


def facts_of(cost: Cost) -> dict[str, str]:
    """Return what a cost was measured on, by what it is called in a sentence."""
    threads = {0: "", 1: ", 1 thread"}.get(cost.num_threads, f", {cost.num_threads} threads")
    return {
        "the size of the images": cost.image_size,
        "the batch size": str(cost.batch_size),
        "the precision": cost.precision,
        "the device": f"{cost.device}{threads}",
        "the version of torch": cost.torch,
        "the commit": cost.commit,
    }


def describe_facts(facts: Mapping[str, str]) -> str:
    """Say in a line what costs were measured on, and what they are."""
    size, batch, precision, device, torch, commit = facts.values()
    return (
        f"Costs: {size} pixels, {precision}, training steps of {batch} images, on {device}, torch "
        f"{torch}, commit {commit}; a FLOP is a multiplication or an addition of a product; memory "
        "is beside weights and images (docs/costs.md)."
    )


def costs_table(costs: Sequence[tuple[str, Cost]]) -> Table:
    """Return a table of configurations by name and their costs."""
    columns, headings = table_columns()
    return Table(
        title="Costs",
        label_headings=("Configuration",),
        columns=columns,
        rows=tuple(Row((name,), cost_cells(cost)) for name, cost in costs),
        headings=headings,
        notes=tuple(dict.fromkeys(describe_facts(facts_of(cost)) for _, cost in costs)),
    )
