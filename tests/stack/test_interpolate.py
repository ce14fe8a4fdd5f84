"""Variables in values."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.stack.interpolate import BadTemplate, names, substitute
from orchestra.stack.read import read

VARIABLES = {"SET": "s", "EMPTY": ""}


def fill(text: str) -> str:
    return substitute(text, VARIABLES, lambda name: None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$SET ${SET}", "s s"),
        ("${NO-d}${EMPTY-d}${SET-d}", "ds"),
        ("${NO:-d}${EMPTY:-d}${SET:-d}", "dds"),
        ("${NO+r}${EMPTY+r}${SET+r}", "rr"),
        ("${NO:+r}${EMPTY:+r}${SET:+r}", "r"),
        ("${SET?no}${SET:?no}${EMPTY?no}", "ss"),
        ("${NO:-${EMPTY:-${SET}}}", "s"),
        ("${NO:-a{b}c}", "a{b}c"),
        ("$$SET $${SET} $$$SET", "$SET ${SET} $s"),
        ("$ $1 $(x) $((1)) 5$", "$ $1 $(x) $((1)) 5$"),
    ],
)
def test_every_form_has_its_meaning(text: str, value: str) -> None:
    """The table of the Compose Specification, 12-interpolation.md."""
    assert fill(text) == value


def test_a_default_that_is_not_needed_is_not_evaluated() -> None:
    """`:?` inside of an unused default stops nothing."""
    assert fill("${SET:-${NO:?never}}") == "s"


@pytest.mark.parametrize(
    "text", ["${}", "${1}", "${SET", "${SET:=d}", "${SET#x}", "${SET/a/b}", "${ SET}", "${SET:}"]
)
def test_what_is_no_form_is_refused(text: str) -> None:
    """A shell's other forms are not silently left alone."""
    with pytest.raises(BadTemplate, match="is not a variable"):
        fill(text)


@pytest.mark.parametrize(
    ("text", "why"), [("${NO?give it ${SET}}", "is not set: give it s"), ("${EMPTY:?x}", "is empty: x")]
)
def test_a_required_variable_says_what_is_missing(text: str, why: str) -> None:
    """The message is filled in, too."""
    with pytest.raises(BadTemplate, match=why):
        fill(text)


def test_unset_variables_are_told_of() -> None:
    """Only those without value and default."""
    heard: list[str] = []
    substitute("$NO ${NO2} ${NO3:-x} $SET", VARIABLES, heard.append)
    assert heard == ["NO", "NO2"]


def test_endless_nesting_is_refused() -> None:
    """Not with a RecursionError."""
    with pytest.raises(BadTemplate, match="nested deeper"):
        fill("${A:-" * 5000)


def test_variables_of_a_file_are_listed_with_their_defaults() -> None:
    """What `config --variables` prints."""
    (node,) = read("a: ${A:-${B}} ${C:?x}\nb: [$D]", "f.yml")
    found = names(node)
    assert list(found) == ["A", "B", "C", "D"]
    assert found["A"].default == "${B}"
    assert found["C"].required


# A model that is too simple to be wrong: a template is built together with what it must give.
WORDS = st.text(alphabet="ab -.:?+=/\\", max_size=5).map(lambda text: (text, text))


def _variable(parts: tuple[str, str, tuple[str, str]]) -> tuple[str, str]:
    name, operator, (word, value) = parts
    given = VARIABLES.get(name)
    filled = given if not operator.startswith(":") else given or None
    if operator.endswith("+"):
        return f"${{{name}{operator}{word}}}", value if filled is not None else ""
    return f"${{{name}{operator}{word}}}", filled if filled is not None else value


NAMES = st.sampled_from(["SET", "EMPTY", "NO"])
TEMPLATES = st.recursive(
    WORDS | st.just(("$$", "$")) | NAMES.map(lambda name: (f"${{{name}}}", VARIABLES.get(name, ""))),
    lambda inner: (
        st.tuples(NAMES, st.sampled_from([":-", "-", ":+", "+"]), inner).map(_variable)
        | st.lists(inner, max_size=3).map(lambda parts: ("".join(t for t, _ in parts), "".join(v for _, v in parts)))
    ),
    max_leaves=12,
)


@given(TEMPLATES)
def test_templates_give_what_they_were_built_to_give(pair: tuple[str, str]) -> None:
    """Interpolation against the model."""
    template, value = pair
    assert fill(template) == value


@given(st.text())
def test_doubled_dollars_give_any_text_back(text: str) -> None:
    """So that what `config` prints can be read back."""
    assert fill(text.replace("$", "$$")) == text


@given(st.text(alphabet="${}:-+?AB a1"))
def test_any_text_is_filled_in_or_refused(text: str) -> None:
    """No other exception gets out."""
    with contextlib.suppress(BadTemplate):
        fill(text)
