import copy
import inspect
import pickle

import pytest

from planogram import errors
from planogram.errors import PlanogramError

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, PlanogramError)]


def test_the_message_says_what_was_given_what_is_allowed_and_what_to_do():
    error = PlanogramError("colour 'mauve' does not exist", allowed="red, blue", remedy="choose another")
    assert str(error) == "colour 'mauve' does not exist\nallowed: red, blue\nremedy: choose another"
    assert str(PlanogramError("it is late")) == "it is late"
    assert str(PlanogramError("it is late", remedy="sleep")) == "it is late\nremedy: sleep"


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_errors_cross_process_boundaries_whole(cls):
    error = cls("given", allowed="allowed", remedy="remedy")
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(back) is cls
        assert (back.given, back.allowed, back.remedy, str(back)) == ("given", "allowed", "remedy", str(error))


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn = {line.replace("│", " ").replace("├──", " ").replace("└──", " ").split()[0]: line for line in _tree()}
    assert set(drawn) == {cls.__name__ for cls in ALL}
    # Four columns of drawing for each step below the base.
    for cls in ALL:
        depth = drawn[cls.__name__].index(cls.__name__) // 4
        assert depth == len(cls.__mro__) - len(PlanogramError.__mro__)


def _tree() -> list[str]:
    return [line for line in (errors.__doc__ or "").splitlines() if "Error" in line and "exceptions" not in line]
