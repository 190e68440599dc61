"""The catalogue of data sets, and what a check of them found, as tables and JSON."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from datamodules.catalogue import CatalogueEntry
from lightning_modules.report.escape import escape_terminal
from mutualformer.ignored_label import IGNORED

if TYPE_CHECKING:
    from datamodules.check.data_report import DataReport, DatasetReport


def catalogue_tables(entries: Sequence[CatalogueEntry]) -> list[Table]:
    """Return a table of what the data sets are, and one of where they come from."""
    what = _table("Data set", "Other names", "Second modality", "Near is", "Train", "Test", "Note")
    whence = _table("Data set", "Terms", "Source", "Citation")
    for entry in entries:
        near = entry.near or ("unknown" if entry.second_modality == "depth" else "–")
        train, test = (_counts(entry.counts.get(split, ())) for split in ("train", "test"))
        aliases = ", ".join(entry.aliases) or "–"
        _add(what, entry.name, aliases, entry.second_modality, near, train, test, entry.note)
        _add(whence, entry.name, entry.terms, entry.source, entry.citation)
    what.caption = "In brackets: other numbers of pairs seen in copies."
    whence.caption = (
        'Terms: "not stated" means that the source names none, "unknown" that we could not read '
        "it; neither is a permission."
    )
    return [what, whence]


def catalogue_json(entries: Sequence[CatalogueEntry]) -> str:
    """Return all entries with all their fields."""
    return _json({"data_sets": [entry._asdict() for entry in entries]})


def check_table(report: "DataReport") -> Table:
    """Return a table with one row per data set."""
    table = _table(
        *("Data set", "Catalogue", "Split", "Pairs", "Expected", "Sizes (H × W)", "Depth", "Mask"),
        *("Near: declared", "Near: estimated", "Errors", "Notices"),
    )
    for seen in report.datasets:
        entry = seen.dataset.entry
        num_errors = sum(finding.is_error for finding in seen.findings)
        _add(
            table,
            seen.dataset.label,
            entry.name if entry else "–",
            seen.dataset.split or "–",
            str(len(seen.samples)),
            _counts(seen.expected_counts),
            _sizes(seen),
            _kinds(seen.depth_modes.items()),
            _kinds(seen.mask_values.items()),
            seen.declared_near or ("unknown" if seen.is_depth else "–"),
            _estimate(seen),
            str(num_errors),
            str(len(seen.findings) - num_errors),
        )
    return table


def class_tables(report: "DataReport") -> list[Table]:
    """Return a table per label map with the share of each class, one column per data set."""
    by_map: dict[tuple[str, ...], list[DatasetReport]] = {}
    for seen in report.datasets:
        if seen.class_counts is not None and seen.dataset.label_map is not None:
            by_map.setdefault(seen.dataset.label_map.classes, []).append(seen)
    tables = []
    for classes, group in by_map.items():
        table = _table("Value", "Class", *(seen.dataset.label for seen in group))
        label_map = group[0].dataset.label_map
        assert label_map is not None
        for index, name in enumerate(classes):
            cells = [_class_cell(seen, index) for seen in group]
            _add(table, str(index + label_map.offset), name, *cells)
        void = ", ".join(map(str, label_map.void)) or "–"
        _add(table, void, "void (of all pixels)", *(_class_cell(seen, IGNORED) for seen in group))
        table.caption = "Share of the labelled pixels (number of labels that have the class)."
        tables.append(table)
    return tables


def class_frequencies(seen: "DatasetReport") -> dict[str, float] | None:
    """Return the share of each class among labelled pixels; None for a data set of masks."""
    if seen.class_counts is None or seen.dataset.label_map is None:
        return None
    names = seen.dataset.label_map.classes
    total = max(1, int(seen.class_counts[: len(names)].sum()))
    return {name: int(seen.class_counts[i]) / total for i, name in enumerate(names)}


def void_share(seen: "DatasetReport") -> float | None:
    """Return the share of void among all pixels; None for a data set of masks."""
    if seen.class_counts is None:
        return None
    return int(seen.class_counts[IGNORED]) / max(1, int(seen.class_counts.sum()))


def _class_cell(seen: "DatasetReport", index: int) -> str:
    assert seen.image_counts is not None
    count = int(seen.image_counts[index])
    if index == IGNORED:
        return f"{void_share(seen):.2%} ({count})" if count else "–"
    share = list((class_frequencies(seen) or {}).values())[index]
    return f"{share:.2%} ({count})" if count else "–"


def check_json(report: "DataReport") -> str:
    """Return everything that was found and seen."""
    return _json(
        {
            "root": str(report.root),
            "num_errors": report.num_errors,
            "findings": [finding._asdict() for finding in report.findings],
            "data_sets": [
                {
                    "path": seen.dataset.label,
                    "catalogue": seen.dataset.entry.name if seen.dataset.entry else None,
                    "split": seen.dataset.split,
                    "num_pairs": len(seen.samples),
                    "expected_num_pairs": list(seen.expected_counts),
                    "sizes": {f"{h}x{w}": n for (h, w), n in sorted(seen.sizes.items())},
                    "depth_modes": dict(seen.depth_modes),
                    "mask_values": dict(seen.mask_values),
                    "class_frequencies": class_frequencies(seen),
                    "void_share": void_share(seen),
                    "declared_near": seen.declared_near,
                    "estimated_near": seen.polarity._asdict() if seen.is_depth else None,
                    "estimated_shift": seen.shift._asdict(),
                }
                for seen in report.datasets
            ],
            "packages": {name: version(name) for name in ("mutualformer", "pillow")},
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
    )


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    # As plain text: brackets in a folder's name are no markup.
    table.add_row(*(Text(escape_terminal(cell)) for cell in cells))


def _counts(counts: Sequence[int]) -> str:
    if not counts:
        return "–"
    others = f" ({', '.join(map(str, counts[1:]))})" if counts[1:] else ""
    return f"{counts[0]}{others}"


def _sizes(seen: "DatasetReport") -> str:
    if not seen.sizes:
        return "–"
    (smallest, largest) = min(seen.sizes), max(seen.sizes)
    text = f"{smallest[0]} × {smallest[1]}"
    if len(seen.sizes) > 1:
        text += f" to {largest[0]} × {largest[1]} ({len(seen.sizes)} sizes)"
    return text


def _kinds(counts: Iterable[tuple[str, int]]) -> str:
    ordered = sorted(counts, key=lambda item: -item[1])
    if len(ordered) == 1:
        return ordered[0][0]
    return "; ".join(f"{kind}: {count}" for kind, count in ordered) or "–"


def _estimate(seen: "DatasetReport") -> str:
    if not seen.is_depth:
        return "–"
    polarity = seen.polarity
    return f"{polarity.near or 'unsure'} ({polarity.confidence:.3f}, {polarity.num_votes} images)"


def _json(content: object) -> str:
    # ASCII, because file names may hold bytes that are no text in any encoding.
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
