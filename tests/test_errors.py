"""The tree of errors is drawn as it is, and every message has one form."""

import inspect
import re

import pytest

from holdfast import errors
from holdfast.errors import ContractBroken, HoldfastError, InvalidInput, MissingIds, Throttled

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, HoldfastError)
}
LINE = re.compile(r"^    (?P<indent>[│ ]*)[├└]── (?P<name>\w+)(?: \((?P<bases>[\w, ]+)\))?")


def drawn():
    """Name -> (parent, other bases) as the docstring draws them."""
    tree, path = {}, []
    for line in errors.__doc__.splitlines():
        match = LINE.match(line)
        if match:
            depth = len(match["indent"]) // 4
            parent = path[depth - 1] if depth else "HoldfastError"
            path[depth:] = [match["name"]]
            others = set((match["bases"] or "").replace(" ", "").split(",")) - {""}
            tree[match["name"]] = (parent, others)
    return tree


def test_the_drawn_tree_is_the_real_one():
    real = {}
    for name, cls in CLASSES.items():
        if cls is not HoldfastError:
            ours = [base.__name__ for base in cls.__bases__ if issubclass(base, HoldfastError)]
            others = {base.__name__ for base in cls.__bases__} - set(ours)
            assert len(ours) == 1
            real[name] = (ours[0], others)
    assert drawn() == real
    assert len(real) > 20


def test_the_tree_reader_sees_structure():
    tree = drawn()
    assert tree["DimensionMismatch"] == ("InvalidInput", set())
    assert tree["NotFitted"] == ("HoldfastError", {"ValueError", "AttributeError"})
    assert tree["LedgerError"][0] == "UpgradeError"


def test_what_a_library_said_with_a_full_stop_is_no_sentence_of_two():
    error = HoldfastError("Ray", "a cluster", "No cluster was found.", "Start one.")
    assert str(error) == "Ray: expected a cluster, got No cluster was found. Start one."
    assert error.got == "No cluster was found."


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_one_form_of_message(cls):
    error = cls("the store", "three rows", "two", "Add one.")
    assert str(error) == "the store: expected three rows, got two. Add one."
    assert (error.who, error.expected, error.got, error.fix) == (
        "the store",
        "three rows",
        "two",
        "Add one.",
    )
    assert str(cls("a", "b", "c")) == "a: expected b, got c."
    assert inspect.getdoc(cls)


@pytest.mark.parametrize(
    ("cls", "caught_as"),
    [(InvalidInput, ValueError), (MissingIds, KeyError), (ContractBroken, AssertionError)],
)
def test_caught_as_what_python_would_raise(cls, caught_as):
    with pytest.raises(caught_as, match="a: expected b, got c"):
        raise cls("a", "b", "c")


def test_throttled_says_when_to_come_back():
    assert Throttled("a", "b", "c", retry_after=2.5).retry_after == 2.5
    assert Throttled("a", "b", "c").retry_after is None
    assert Throttled.transient
    assert not errors.WrongCount.transient
