import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish, TokenIds
from rollout.trees.ending import closed_box, finish_by_text, repeats
from tests.rollout.tree_builders import segment

TESTS = {closed_box: Finish.STOP, repeats: Finish.REPETITION}
LOOP = "wait, let me check that again.. "


def decode(token_ids: TokenIds) -> str:
    return bytes(token_ids.tolist()).decode()


def finish(*texts: str, tests=TESTS) -> Finish | None:
    parts = tuple(segment(f"s{n}", list(text.encode())) for n, text in enumerate(texts))
    return finish_by_text(parts, tests, decode)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{4}", True),
        (r"so \boxed{\frac{1}{2}} then", True),
        (r"so \boxed{\frac{1}{2}", False),
        (r"a set \{1\} in \boxed{\{1\}}", True),
        (r"so \boxed{\}", False),
        (r"the end of one} and {another}", False),
        ("", False),
    ],
)
def test_box_is_closed_when_its_braces_balance(text: str, expected: bool) -> None:
    assert closed_box(text) is expected


def test_loop_is_32_characters_8_times() -> None:
    assert len(LOOP) == 32
    assert repeats("so " + LOOP * 8) and not repeats("so " + LOOP * 7)


def test_occurrences_do_not_overlap() -> None:
    assert repeats("-" * 256) and not repeats("-" * 255)


def test_occurrences_need_not_follow_one_another() -> None:
    assert repeats("".join(f"{number} {LOOP}" for number in range(8)))


@given(st.lists(st.tuples(st.text(alphabet="ab", max_size=40), st.integers(1, 12)), max_size=3))
def test_loops_are_those_that_counting_finds(runs: list[tuple[str, int]]) -> None:
    text = "".join(piece * times for piece, times in runs)
    pieces = {text[start : start + 32] for start in range(len(text) - 31)}
    assert repeats(text) == any(text.count(piece) >= 8 for piece in pieces)


def test_response_without_answer_or_loop_goes_on() -> None:
    assert finish("one ", "two") is None


def test_answer_is_looked_for_before_a_loop() -> None:
    assert finish(LOOP * 8, r"\boxed{4}") is Finish.STOP
    assert finish(LOOP * 8, "and") is Finish.REPETITION


def test_what_is_not_looked_for_ends_nothing() -> None:
    assert finish(r"\boxed{4}", tests={repeats: Finish.REPETITION}) is None
    assert finish(LOOP * 8, tests={}) is None


def test_only_the_last_two_segments_are_read() -> None:
    assert finish(LOOP * 4, LOOP * 4) is Finish.REPETITION
    assert finish(LOOP * 4, "and", LOOP * 4) is None
