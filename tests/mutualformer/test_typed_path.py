"""Whatever form of a path a user types means one file."""

from pathlib import Path

import pytest

from mutualformer.errors import UserError
from mutualformer.typed_path import expand_home, typed_path


@pytest.mark.parametrize(
    "text", ["~/data", "~/data/", "~//data/.", "$HOME/data", "${HOME}/data", "$DATA", "${DATA}/"]
)
def test_every_spelling_is_one_path(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("DATA", "/home/somebody/data")
    assert typed_path(text) == typed_path(Path(text)) == Path("/home/somebody/data")


@pytest.mark.parametrize("text", ["data", "../a b", "runs/~", "it costs $5", "a$HOME", "$5/x"])
def test_other_text_stays(text: str) -> None:
    assert expand_home(text) == text


@pytest.mark.parametrize("text", ["~nobody_of_this_name/data", "$NO_SUCH_VARIABLE/data"])
def test_an_unknown_home_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError, match=r"there is no (user|environment variable)"):
        typed_path(text)


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(UserError, match="empty"):
        typed_path(" ")


@pytest.mark.parametrize("text", ["ü" * 200, "a/" * 3000, "~/" + "a" * 300 + "/b"])
def test_a_path_that_no_file_system_takes_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^a path is .{40}… \(\d+ characters\): File name"):
        typed_path(text)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_what_cannot_be_a_name_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="^data.root is '"):
        typed_path(text, "data.root")


@pytest.mark.parametrize("text", ["", "~nobody_of_this_name", "$NO_SUCH_VARIABLE", "a" * 300])
def test_a_message_names_what_has_the_path(text: str) -> None:
    with pytest.raises(UserError, match=r"^a\.yaml: folder is "):
        typed_path(text, "a.yaml: folder")
