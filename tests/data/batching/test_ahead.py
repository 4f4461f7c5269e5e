"""`made_ahead`: the same items, made earlier, and the same errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from prerec_pyro.data.batching.ahead import made_ahead


def test_the_next_item_is_made_while_this_one_is_used() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    found = made_ahead(items())
    assert next(found) == 0
    assert made[1].wait(10), "before anybody asks for it"
    assert not made[2].is_set(), "one alone is made ahead"
    assert list(found) == [1, 2]


def test_an_error_comes_where_its_item_would() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("the second")

    found = made_ahead(items())
    assert next(found) == 0
    with pytest.raises(ValueError, match="the second"):
        next(found)


def test_a_caller_may_stop_early() -> None:
    before = threading.active_count()
    found = made_ahead(iter(range(100)))
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before
