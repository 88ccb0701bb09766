import pytest

from rl.run.stopwatch import Stopwatch, seconds_of


def test_blocks_of_a_part_add_up() -> None:
    spans = [("learn", 1.0, 2.5), ("sync", 3.0, 3.25), ("learn", 4.0, 4.5)]
    assert seconds_of(spans) == {"learn": 2.0, "sync": 0.25}


def test_a_block_that_raises_has_its_span() -> None:
    watch = Stopwatch()
    with watch("rollout"):
        pass
    with pytest.raises(KeyError), watch("learn"):
        raise KeyError
    assert [part for part, *_ in watch.spans] == ["rollout", "learn"]
    (_, _, first), (_, second, end) = watch.spans
    assert first <= second <= end
