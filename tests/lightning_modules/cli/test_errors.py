"""What is told in one line, and what keeps its traceback."""

import errno

import pytest

from lightning_modules.cli.errors import exit_on_error, explain
from mutualformer.errors import UserError, refused_setting


def raised(first: Exception, then: Exception, declared: bool) -> Exception:
    """Return ``then`` as raised while ``first`` was handled, declared to come from it or not."""
    try:
        try:
            raise first
        except Exception as error:
            if declared:
                raise then from error
            raise then  # noqa: B904
    except Exception as error:
        return error


MISTAKE = UserError("epsilon is 1.0, expected 0 <= epsilon < 1")


@pytest.mark.parametrize(
    "first", [MISTAKE, ValueError("3"), OSError(errno.ENOSPC, "No space left")]
)
def test_a_defect_amid_the_handling_of_a_mistake_is_a_defect(first: Exception) -> None:
    defect = KeyError("a typing mistake of ours")
    error = raised(first, defect, declared=False)
    assert error.__context__ is first
    assert explain(error) is None
    with pytest.raises(KeyError), exit_on_error():
        raise error


def test_a_mistake_that_a_library_wraps_is_told_in_its_own_words() -> None:
    error = raised(MISTAKE, ValueError("does not validate against any of …"), declared=True)
    assert explain(error) == (str(MISTAKE), 2)


@pytest.mark.parametrize(
    "error", [ValueError("3"), TypeError("3"), RuntimeError("3"), OSError("3")]
)
def test_other_exceptions_are_defects(error: Exception) -> None:
    assert explain(error) is None


def test_a_library_s_refusal_of_a_setting_names_the_setting() -> None:
    with (
        pytest.raises(UserError, match="^trainer: devices should be above 0$"),
        refused_setting("trainer", TypeError),
    ):
        raise TypeError("devices should\n be above 0")
    with pytest.raises(TypeError), refused_setting("trainer", ValueError):
        raise TypeError("another class")
    with pytest.raises(UserError, match="^epsilon is 1.0"), refused_setting("trainer", ValueError):
        raise MISTAKE


def test_the_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUTUALFORMER_TRACEBACK", "1")
    with pytest.raises(UserError), exit_on_error():
        raise MISTAKE
