"""`cost.json`: what is written is read, and what is damaged is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_up_costs import made_up

from lightning_modules.costs.cost_file import CostError, read_cost, write_cost


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for cost in (made_up(), made_up(git=None)):
        write_cost(tmp_path / "cost.json", cost)
        assert read_cost(tmp_path / "cost.json") == cost
    assert [path.name for path in tmp_path.iterdir()] == ["cost.json"]


def test_the_commit_is_short_and_says_of_changes() -> None:
    assert made_up(git={"commit": "0123456789", "dirty": False}).commit == "0123456"
    assert made_up(git={"commit": "0123456789", "dirty": True}).commit == "0123456 with changes"
    assert made_up(git=None).commit == "unknown"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"forward_ms": -1.0}, "forward_ms is -1.0, expected a number >= 0"),
        ({"forward_ms": True}, "forward_ms is True"),
        ({"forward_ms": float("nan")}, "forward_ms is nan"),
        ({"parameters": 1.5}, "parameters is 1.5, expected a whole number >= 0"),
        ({"parameters": 10**19}, "parameters is 1"),
        ({"torch": "2" * 300}, "torch is .*of at most 200 characters"),
        ({"parameters": None}, "parameters is None"),
        ({"device": "\x1b[2J"}, "device is .*, expected printable text"),
        ({"device": 3}, "device is 3"),
        ({"git": "abc"}, "git is 'abc'"),
        ({"git": {"commit": "\x1b"}}, "git is"),
        ({"git": {}}, "git is"),
        ({"git": []}, r"git is \[\]"),
        ({"speed": 3}, "'speed' is missing or unknown"),
    ],
)
def test_values_that_are_no_costs(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = tmp_path / "cost.json"
    write_cost(path, made_up())
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CostError, match=f"cost.json is not a file of mutualformer cost: {reason}"):
        read_cost(path)


@pytest.mark.parametrize("content", [b"", b'{"parameters": 1', b"\xff", b"[" * 100000])
def test_a_file_that_is_cut_or_no_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cost.json").write_bytes(content)
    with pytest.raises(CostError, match=r"cost.json is damaged .*run mutualformer cost again"):
        read_cost(tmp_path / "cost.json")


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}"])
def test_json_that_is_no_cost(tmp_path: Path, content: str) -> None:
    (tmp_path / "cost.json").write_text(content)
    with pytest.raises(CostError, match=r"cost.json is not a file of mutualformer cost"):
        read_cost(tmp_path / "cost.json")
