"""Text that people write: what is taken, what is mended, what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import text
from domain.errors import InvalidValue
from domain.text import FieldValue


def test_a_line_is_trimmed_and_its_white_space_becomes_single_spaces() -> None:
    assert text.line("  The\tsite\r\n is\u00a0 down \u2028", "title") == "The site is down"


def test_control_characters_in_a_line_become_spaces() -> None:
    assert text.line("red \x1b[31malert\x07", "title") == "red [31malert"


def test_a_line_is_stored_in_composed_form_so_that_equal_looking_lines_are_equal() -> None:
    assert text.line("cafe\u0301", "title") == "caf\u00e9"


def test_emoji_with_joiners_and_writing_from_right_to_left_are_lines() -> None:
    assert text.line("👩‍🚒", "title") == "👩‍🚒"
    assert text.line("שלום", "title") == "שלום"


@pytest.mark.parametrize("value", ["", " ", "\n\t", "\u200b", "\u2060\ufeff ", "\x1b", "\u202e"])
def test_a_line_or_prose_with_nothing_to_see_is_empty(value: str) -> None:
    for take in (text.line, text.prose):
        with pytest.raises(InvalidValue, match="title is empty"):
            take(value, "title")


@pytest.mark.parametrize("value", ["a\0b", "\0", "half \ud800 pair", "\udfff"])
def test_nul_and_half_surrogates_are_refused_everywhere(value: str) -> None:
    for take in (text.line, text.prose, text.key):
        with pytest.raises(InvalidValue) as refused:
            take(value, "title")
        assert refused.value.field == ("title",)
        refused.value.message.encode()  # a refusal can be sent


def test_limits_count_characters_after_trimming() -> None:
    assert len(text.line(" " + "я" * 300 + " ", "title")) == 300
    assert len(text.prose("\n" + "я" * 100_000 + "\n", "body")) == 100_000
    with pytest.raises(InvalidValue, match="301 characters; 300 is the limit"):
        text.line("я" * 301, "title")
    with pytest.raises(InvalidValue, match="100001 characters; 100000 is the limit"):
        text.prose("я" * 100_001, "body")


def test_prose_keeps_its_lines() -> None:
    assert text.prose("\n  First\n\n\tsecond\n", "body") == "First\n\n\tsecond"


@pytest.mark.parametrize("value", ["a", "first-line", "v1.2_3", "Поддержка", "日本", "x" * 64, "caf\u00e9"])
def test_letters_and_digits_of_any_script_make_a_key(value: str) -> None:
    assert text.key(value) == value


@pytest.mark.parametrize(
    "value", ["", " ", "two words", "a/b", "*", "x" * 65, "a\n", "cafe\u0301", "ﬁx", "Ａ", "x²", "a\u200bb"]
)
def test_a_key_that_could_be_spelled_otherwise_is_refused_and_never_mended(value: str) -> None:
    with pytest.raises(InvalidValue):
        text.key(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**53 - 1,
        -(2**53) + 1,
        0.1,
        -0.0,
        1e300,
        "",
        " a ",
        pytest.param("ж" * 100_000, id="long"),
    ],
)
def test_what_json_holds_without_loss_is_a_field_value(value: FieldValue) -> None:
    assert text.field_value("hours", value) == value


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**53,
        -(2**53),
        pytest.param(10**5000, id="more digits than Python prints"),
        pytest.param("x" * 100_001, id="long"),
        "\0",
        "\ud800",
    ],
)
def test_a_field_value_that_would_be_stored_with_loss_is_refused(value: FieldValue) -> None:
    with pytest.raises(InvalidValue):
        text.field_value("hours", value)


def test_true_is_not_one_and_one_is_one_point_zero() -> None:
    assert not text.same_value(True, 1)
    assert not text.same_value(0.0, False)
    assert text.same_value(1, 1.0)
    assert text.same_value(True, True)
    assert not text.same_value(None, "")
    assert not text.same_value("1", 1)


@given(st.text())
def test_text_taken_once_is_taken_unchanged_again(value: str) -> None:
    for take in (text.line, text.prose, text.key):
        try:
            taken = take(value, "title")
        except InvalidValue:
            continue
        assert take(taken, "title") == taken
