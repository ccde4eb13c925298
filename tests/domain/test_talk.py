"""A talk is a tuple of comments that does not copy: whatever grows from whatever, each holds what it was made of."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.talk import Talk


class Line(msgspec.Struct, frozen=True):
    id: UUID
    text: str = ""


def line(n: int, text: str = "") -> Line:
    return Line(UUID(int=n), text)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans())))
def test_whatever_grows_from_whatever_is_what_tuples_would_be(steps: list[tuple[int, bool]]) -> None:
    talks: list[tuple[Talk[Line], tuple[Line, ...]]] = [(Talk(), ())]
    for n, (base, replaces) in enumerate(steps):
        talk, model = talks[base % len(talks)]
        if replaces and model:
            changed = msgspec.structs.replace(model[base % len(model)], text=str(n))
            talks.append((talk.replacing(changed), tuple(changed if one.id == changed.id else one for one in model)))
        else:
            talks.append((talk.adding(line(n)), (*model, line(n))))
    for talk, model in talks:
        assert (len(talk), tuple(talk), talk[:], talk[-3:1]) == (len(model), model, model, model[-3:1])
        assert talk == Talk(model)
        for n in range(len(steps)):
            assert talk.find(UUID(int=n)) == next((one for one in model if one.id == UUID(int=n)), None)


def test_places_are_those_of_a_tuple() -> None:
    talk = Talk([line(1), line(2)])
    assert (talk[0], talk[1], talk[-1], talk[-2]) == (line(1), line(2), line(2), line(1))
    for place in (2, -3):
        with pytest.raises(IndexError):
            talk[place]
    longer = talk.adding(line(3))
    with pytest.raises(IndexError):
        talk[2]
    assert longer[2] == line(3)


def test_threads_that_grow_from_one_at_once_do_not_meet() -> None:
    talk = Talk([line(1)])
    for _ in range(200):
        lines = [Line(uuid4()) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            grown = list(pool.map(talk.adding, lines))
        assert [tuple(one) for one in grown] == [(*talk, said) for said in lines]
        talk = grown[0]


def test_a_thousand_states_of_a_long_talk_take_the_memory_of_one() -> None:
    talk = Talk(line(n) for n in range(10_000))
    tracemalloc.start()
    try:
        kept = [talk]
        for n in range(1_000):
            kept.append(kept[-1].adding(line(10_000 + n)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept[-1]) == 11_000
    assert most < 5_000_000, "a thousand tuples would take eighty million"
