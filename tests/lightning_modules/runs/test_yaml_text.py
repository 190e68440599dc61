"""The one reader of YAML: numbers, dates, keys and what it refuses."""

import re
from pathlib import Path

import pytest
import yaml
from jsonargparse import get_loader

from lightning_modules.runs.yaml_text import load_yaml, read_yaml_mapping
from mutualformer.errors import UserError

PLAIN = [
    *("1e-4", "1E5", "-1e+3", "+2.5e3", "1.e-3", ".5e-3", "1.0e-05", "1_000e2", "0.6", "3", "-7"),
    *("e5", "1e", "1e-", "1e5x", ".e5", "inf", ".inf", "true", "null", "2001-01-01", "a: 1e-3"),
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_values_mean_what_they_mean_in_an_experiment(text: str) -> None:
    assert repr(load_yaml(text)) == repr(get_loader("yaml")(text))


@pytest.mark.parametrize(
    "text", ["a: 1\nb: 2\na: 3", "x: {a: 1, a: 1}", "- {1: a, 1: b}", "{a: &m {b: 1, b: 2}, c: *m}"]
)
def test_a_key_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match=r"key '\w' on line \d stands twice in one mapping"):
        load_yaml(text)


def test_a_merged_key_may_be_overruled() -> None:
    text = "base: &base {a: 1, b: 2}\nmine: {<<: *base, a: 3}"
    assert load_yaml(text)["mine"] == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "PATH cannot be read: No such file or directory"),
        (b"- a", "PATH holds a list, expected a sweep: a mapping"),
        (b"", "PATH holds a NoneType, expected a sweep: a mapping"),
        (b"a: [", "PATH is not valid YAML: while parsing"),
        (b"a: \xff", "PATH is not valid YAML: 'utf-8' codec"),
        (b"a: 1\na: 1", "PATH is not valid YAML: key 'a' on line 2 stands twice"),
    ],
)
def test_what_is_no_mapping_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message.replace("PATH", str(path)))):
        read_yaml_mapping(path, "a sweep")
    with pytest.raises(UserError, match=re.escape(f"--config {path}")):
        read_yaml_mapping(path, "a sweep", "--config")
