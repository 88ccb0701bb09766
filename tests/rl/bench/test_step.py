"""What the step benchmark computes and sets up, without running a contender."""

import json
import os
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from rl.bench.step import (
    LAB_MODEL,
    RECIPE,
    Measured,
    compared,
    described,
    ended_lines,
    make_setting,
    median_between,
    overrides,
)
from rl.cli.compose import compose
from rl.cli.machine import Machine


def measured(seconds: float) -> Measured:
    return Measured(seconds=seconds, parts={"generate": seconds / 2}, mean_tokens=60.0)


def test_ratio_is_the_geometric_mean_of_the_rounds() -> None:
    ours, theirs = [measured(1.0), measured(4.0)], [measured(2.0), measured(2.0)]
    assert compared(ours, theirs).ratio == pytest.approx(1.0)


def test_row_keeps_rounds_and_averages_parts() -> None:
    row = described([measured(1.0), measured(3.0)])
    assert row == {"seconds": [1.0, 3.0], "parts": {"generate": 1.0}, "mean_tokens": 60.0}


def test_step_is_what_passes_between_two_ends() -> None:
    assert median_between([100.0, 101.0, 103.0, 104.0]) == 1.0


def test_lines_of_a_child_are_timed_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    code = (
        "import sys, time; file = open(sys.argv[1], 'w', buffering=1); file.write('a\\n'); "
        "time.sleep(0.2); file.write('b\\nunfinished')"
    )
    found = ended_lines([sys.executable, "-c", code, str(path)], path, os.environ)
    assert list(found.values()) == ["a", "b"]
    assert median_between(list(found)) == pytest.approx(0.2, abs=0.15)


def test_child_that_fails_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no engine here')"]
    with pytest.raises(RuntimeError, match="no engine here"):
        ended_lines(command, tmp_path / "lines", os.environ)


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
@pytest.mark.parametrize("lengths", ["natural", "fixed"])
def test_our_children_run_a_recipe_with_the_shared_setting(
    engine: str, lengths: str, tmp_path: Path
) -> None:
    setting = make_setting(lengths, rounds=1, steps=4, folder=tmp_path)
    config = compose(RECIPE, overrides(setting, engine), Machine(num_cores=2, num_gpus=0)).config
    assert config.num_steps == 5 and config.data.eval_path == ""
    assert config.learner.learning_rate == setting.learning_rate
    assert config.learner.num_threads == setting.threads
    assert config.limit.max_response_tokens == setting.max_response_tokens
    assert (config.prompts_per_step, config.algorithm.group_size) == (32, 8)


def test_endless_copy_ends_with_a_token_that_is_never_sampled(tmp_path: Path) -> None:
    folder = make_setting("fixed", rounds=1, steps=1, folder=tmp_path).model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids("<|system|>")
    assert tokenizer.eos_token_id == end
    assert AutoConfig.from_pretrained(folder).eos_token_id == end
    assert GenerationConfig.from_pretrained(folder).eos_token_id == end
    lab = json.loads((LAB_MODEL / "config.json").read_text())
    assert lab["eos_token_id"] != end
