from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.report.marks import Bar, Label
from rl.report.svg import svg_file
from rl.report.timeline import INKS, LEFT, RIGHT, rows, timeline_picture
from rollout.timeline import LEARNER, Activity, Kind


def activity(
    start: float, end: float, lane: str = "replica 0", kind: Kind = Kind.GENERATE
) -> Activity:
    return Activity(kind=kind, lane=lane, name=f"{start:g}-{end:g}", start=start, end=end)


STEP = [
    activity(10, 14),
    activity(10, 12),
    activity(12, 16),
    activity(10, 18, lane="replica 10"),
    activity(10, 15, lane="replica 2"),
    activity(18, 19, lane=LEARNER, kind=Kind.LEARN),
    activity(19, 20, lane=LEARNER, kind=Kind.PUBLISH),
]


def test_every_record_is_a_bar_in_its_color_from_its_start_to_its_end() -> None:
    picture = timeline_picture(STEP)
    bars = {mark.tip: mark for mark in picture.marks if isinstance(mark, Bar) and mark.tip}
    assert len(bars) == len(STEP)
    whole = RIGHT - LEFT
    long = bars["10-18: generate 8.00 s"]
    assert long.ink == INKS[Kind.GENERATE] and long.x == LEFT
    assert long.width == pytest.approx(0.8 * whole, abs=1)
    last = bars["19-20: publish 1.00 s"]
    assert last.ink == INKS[Kind.PUBLISH] and last.x == pytest.approx(LEFT + 0.9 * whole)


def test_lanes_are_in_order_and_say_how_idle_they_were() -> None:
    labels = [mark for mark in timeline_picture(STEP).marks if isinstance(mark, Label)]
    lanes = sorted((m.y, m.text) for m in labels if m.anchor == "end" and m.ink == "text")
    assert [text for _, text in lanes] == ["replica 0", "replica 2", "replica 10", "learner"]
    idle = sorted((m.y, m.text) for m in labels if m.text.endswith("idle"))
    assert [text for _, text in idle] == ["40% idle", "50% idle", "20% idle", "80% idle"]


def test_the_picture_is_one_svg_that_says_each_name_as_text() -> None:
    hostile = Activity(kind=Kind.VERIFY, lane="<b>", name='"&<script>', start=0.0, end=1.0)
    root = ElementTree.fromstring(svg_file(timeline_picture([*STEP, hostile])))
    texts = {element.text for element in root.iter() if element.text}
    assert '"&<script>: verify 1.00 s' in texts and "<b>" in texts


def test_one_record_without_duration_is_drawn_and_none_is_refused() -> None:
    assert timeline_picture([activity(3, 3)]).height > 0
    with pytest.raises(ValueError, match="at least one record"):
        timeline_picture([])


spans = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=25)


@given(spans)
def test_rows_are_as_many_as_run_at_once(found: list[tuple[int, int]]) -> None:
    records = [activity(start, start + seconds) for start, seconds in found]
    packed = rows(records)
    assert sorted(a.name for row in packed for a in row) == sorted(a.name for a in records)
    for row in packed:
        assert all(one.end <= two.start for one, two in pairwise(row))
    at_once = [sum(a.start <= t < a.end for a in records) for t in range(30)]
    assert len(packed) == max(at_once)
