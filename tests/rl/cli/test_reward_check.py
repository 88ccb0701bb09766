import json
from dataclasses import replace
from pathlib import Path

import pytest

from rewards.check import Finding
from rewards.length.sigmoid import SigmoidConfig
from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.cli.main import main
from rl.cli.reward_check import examine

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipes" / "lab" / "grpo_lambda.yaml"
CPU = Machine(num_cores=2, num_gpus=0)


def report(*overrides: str):  # type: ignore[no-untyped-def]
    return examine(compose(RECIPE, overrides, CPU).config)


def test_correctness_alone_has_no_weight_of_length_and_flips_nothing() -> None:
    found = report_of_grpo()
    assert found.failed == []
    assert abs(found.effective_weight) < 1e-6
    assert (found.flip_rate, found.length_only_rate) == (0.0, 0.0)


def report_of_grpo():  # type: ignore[no-untyped-def]
    return examine(compose(ROOT / "recipes" / "lab" / "grpo.yaml", [], CPU).config)


def test_a_length_term_is_weighed_after_normalisation() -> None:
    weak, strong = report("gate=none", "reward.alpha=0.1"), report("gate=none", "reward.alpha=0.4")
    assert (weak.failed, strong.failed) == ([], [])
    assert strong.effective_weight < weak.effective_weight < 0
    all_right = next(g for g in strong.groups if all(s.correct for s in g) and g[0].tokens < 64)
    assert all(s.advantage_by_correctness == 0 != s.advantage for s in all_right)
    assert strong.length_only_rate > 0


def test_dynamic_sampling_leaves_the_groups_that_are_trained_on() -> None:
    found = report("gate=none", "algorithm.dynamic_sampling=true")
    assert all(0 < sum(s.correct for s in group) < len(group) for group in found.groups)
    assert found.length_only_rate == 0.0


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["reward", "check", *arguments])
    output = capsys.readouterr()
    return int(str(caught.value.code)), output.out, output.err


def test_the_report_is_a_table_or_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, str(RECIPE), "gate=none")
    assert code == 0
    assert "0 of 780 pairs wrong above right" in text
    assert "polarity flip rate" in text and "4 of 8 right" in text and "cut off" in text
    code, line, _ = run(capsys, str(RECIPE), "gate=none", "--json")
    content = json.loads(line)
    assert code == 0
    assert [p["name"] for p in content["properties"] if p["holds"]] == [
        "order", "monotone", "bounded", "permutation-invariant",
    ]  # fmt: skip
    assert content["num_samples"] == sum(map(len, content["groups"]))
    assert set(content["groups"][0][0]["parts"]) == {"correct", "length"}


BROKEN = """
from rewards.compose import score

def longer_wins(groups, verdicts):
    return [[score(bool(v.correct), length=0.5 * n / (n + 100)) for n, v in zip(g.lengths, judged)]
            for g, judged in zip(groups, verdicts)]

def raises(groups, verdicts):
    raise KeyError("budget")
"""


@pytest.fixture
def own_recipe(tmp_path: Path) -> Path:
    (tmp_path / "my_reward_to_check.py").write_text(BROKEN, encoding="utf-8")
    text = (ROOT / "recipes" / "lab" / "grpo.yaml").read_text(encoding="utf-8")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(text.replace("- reward: correct", "- reward: custom"), encoding="utf-8")
    return recipe


def test_a_users_reward_that_breaks_a_property_fails(
    own_recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(own_recipe.parent))
    target = "reward.target=my_reward_to_check.longer_wins"
    code, line, _ = run(capsys, str(own_recipe), target, "--json")
    assert code == 1
    assert json.loads(line)["failed"] == ["monotone"]
    code, _, error = run(capsys, str(own_recipe), "reward.target=my_reward_to_check.raises")
    assert code == 2
    assert "KeyError" in error and "my_reward_to_check.raises" in error


def test_a_recipe_that_cannot_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, str(RECIPE), "reward.alpha=2")
    assert code == 2
    assert "reward.alpha=2" in error


class GivesUpOrder(SigmoidConfig):
    """A paper that lets a wrong answer win."""

    def given_up(self) -> dict[str, str]:
        return {"order": "wrong answers are paid too"}


def test_what_the_paper_gives_up_does_not_fail_the_check() -> None:
    broken = [Finding(name=name, holds=False, seen="") for name in ("order", "monotone")]
    found = replace(report_of_grpo(), properties=broken, given_up=GivesUpOrder().given_up())
    assert found.failed == ["monotone"]


@pytest.mark.parametrize(
    "recipe", sorted((ROOT / "recipes" / "lab").glob("*.yaml")), ids=lambda path: path.stem
)
@pytest.mark.thorough
def test_a_lab_recipe_keeps_its_promises_or_says_which_it_does_without(recipe: Path) -> None:
    assert examine(compose(recipe, [], CPU).config).failed == []
