from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rl.report.groups import (
    MOST_CHARACTERS,
    held_out_groups,
    shortened,
    spread,
    training_groups,
    within,
)
from tests.rl.report.reported import reported, write_trained


def test_a_training_group_shows_rewards_by_part_and_advantages(tmp_path: Path) -> None:
    groups = training_groups(write_trained(tmp_path / "run"))
    assert [group.kind for group in groups] == [
        "training, step 1", "training, step 3", "training, step 1", "training, step 3",
    ]  # fmt: skip
    assert [group.prompt for group in groups] == ["question a"] * 2 + ["question b"] * 2
    first, second = groups[0].completions
    assert (first.correct, first.reward, first.advantage) == (True, 0.75, 1.0)
    assert first.parts == {"correct": 1.0, "length": -0.25}
    assert (second.text, second.tokens, second.reason) == ("no", 8, "no box")
    assert groups[0].num_correct == 1


def test_held_out_problems_are_shown_before_and_after(tmp_path: Path) -> None:
    run = reported(tmp_path)
    assert run.before and run.after
    better, shorter = held_out_groups(run.before.evaluation, run.after.evaluation)
    assert better.kind == "held-out, answered better after training"
    assert [(each.when, each.tokens) for each in better.completions] == [
        ("before", 12), ("before", 16), ("after", 4), ("after", 6),
    ]  # fmt: skip
    assert shorter.kind == "held-out, shortened most"
    assert shorter.prompt == "question a" and shorter.completions[0].advantage is None


def test_an_evaluation_compared_with_itself_shows_average_problems_alone(tmp_path: Path) -> None:
    run = reported(tmp_path)
    assert run.before
    kinds = {g.kind for g in held_out_groups(run.before.evaluation, run.before.evaluation)}
    assert kinds == {"held-out, average change of length"}


def test_steps_are_spread_from_the_first_to_the_last() -> None:
    files = [Path(str(number)) for number in range(100)]
    assert [int(file.name) for file in spread(files, 4)] == [0, 33, 66, 99]
    assert spread(files[:3], 4) == files[:3]


def test_the_allowance_of_text_is_kept_and_a_group_that_does_not_fit_is_left_out(
    tmp_path: Path,
) -> None:
    groups = training_groups(write_trained(tmp_path / "run"))
    size = groups[0].num_characters
    assert within(groups, 2 * size) == groups[:2]
    assert within(groups, size - 1) == []


def test_a_long_text_keeps_its_beginning_and_the_end_where_the_answer_stands() -> None:
    text = "start " + "x" * 9000 + " \\boxed{4}"
    short = shortened(text)
    assert short.startswith("start ") and short.endswith(" \\boxed{4}")
    assert f"[... {len(text) - MOST_CHARACTERS:,} characters left out ...]" in short


@given(st.text(max_size=50))
def test_a_short_text_stays_as_it_is(text: str) -> None:
    assert shortened(text) == text
