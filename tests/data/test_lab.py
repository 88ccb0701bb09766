"""The frozen lab: its files, its problems, and the measurements that accepted it."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from math_verify import parse, verify
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from data.arithmetic import (
    LONG_HABITS,
    LONG_LEVELS,
    SHORT_HABITS,
    SHORT_LEVELS,
    Problem,
    answer,
    minimal_num_tokens,
    minimal_trace,
    question,
    random_problem,
    verbose_trace,
)

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "data" / "lab"
CHECKPOINTS = sorted(folder.name for folder in LAB.iterdir() if folder.is_dir())
LABS = sorted({checkpoint.removesuffix("_tied") for checkpoint in CHECKPOINTS})
LEVELS = {"short": SHORT_LEVELS, "long": LONG_LEVELS}
FOUR_MEBIBYTES = 4 * 2**20


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((LAB / "lab.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(LAB / "short")
    return loaded


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (LAB / f"{name}.jsonl").read_text().splitlines()]


def some_problems() -> list[Problem]:
    rng = Random(7)
    return [random_problem(rng, level) for level in (*SHORT_LEVELS, *LONG_LEVELS)]


def test_files_are_the_ones_that_were_accepted(record: dict[str, Any]) -> None:
    files = {path.relative_to(LAB).as_posix(): path for path in LAB.rglob("*") if path.is_file()}
    del files["lab.json"]
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert digests == record["files"]


def test_every_checkpoint_is_small_and_measured_on_a_thousand_problems(
    record: dict[str, Any],
) -> None:
    assert "short" in CHECKPOINTS
    assert sorted(record["variants"]) == CHECKPOINTS
    for checkpoint in CHECKPOINTS:
        assert record["variants"][checkpoint]["samples"] == 4000
        assert sum(path.stat().st_size for path in (LAB / checkpoint).iterdir()) < FOUR_MEBIBYTES


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_recorded_measurements_meet_the_bounds(record: dict[str, Any], checkpoint: str) -> None:
    measured = record["variants"][checkpoint]
    assert measured["minimal_ratio"] >= 4
    assert measured["accuracy"] - measured["half_mean_cap_accuracy"] >= 0.05
    assert measured["unreasoned_accuracy"] <= 0.15
    assert measured["stepwise_accuracy"] - measured["skipping_accuracy"] >= 0.10
    assert measured["tail_share"] >= 0.20
    assert 0.80 <= measured["accuracy"] <= 0.95
    assert measured["redundancy"] >= 3
    assert measured["truncated_share"] < 0.01


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_brevity_need_not_cost_accuracy(record: dict[str, Any], checkpoint: str) -> None:
    measured = record["variants"][checkpoint]
    assert measured["minimal_share"] >= 0.15
    assert measured["minimal_accuracy"] >= measured["accuracy"]


@pytest.mark.parametrize("checkpoint", [c for c in CHECKPOINTS if c.startswith("long")])
def test_long_lab_has_long_means_and_a_tail_to_two_thousand(
    record: dict[str, Any], checkpoint: str
) -> None:
    measured = record["variants"][checkpoint]
    assert 300 <= measured["response_tokens"] <= 450
    assert measured["longest_tokens"] >= 1600


@pytest.mark.parametrize("name", LABS)
def test_held_out_problems_are_not_training_problems(name: str) -> None:
    questions = [row["prompt"][0]["content"] for row in rows(f"{name}_train")]
    held_out = [row["prompt"][0]["content"] for row in rows(f"{name}_heldout")]
    assert (len(set(questions)), len(set(held_out))) == (4000, 1000)
    assert not set(questions) & set(held_out)


@pytest.mark.parametrize("name", LABS)
def test_first_three_hundred_held_out_problems_are_balanced(name: str) -> None:
    counts = Counter(row["level"] for row in rows(f"{name}_heldout")[:300])
    assert set(counts) == set(LEVELS[name])
    assert max(counts.values()) - min(counts.values()) <= 1


def test_all_checkpoints_share_one_tokenizer() -> None:
    texts = {(LAB / checkpoint / "tokenizer.json").read_text() for checkpoint in CHECKPOINTS}
    assert len(texts) == 1


def test_traces_survive_the_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    rng = Random(8)
    for problem in some_problems():
        for style in (SHORT_HABITS, LONG_HABITS):
            trace = verbose_trace(problem, rng, style)
            tokens = tokenizer(trace)["input_ids"]
            assert tokenizer.decode(tokens) == trace
            assert tokenizer.unk_token_id not in tokens


def test_minimal_traces_have_the_promised_number_of_tokens(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    for problem in some_problems():
        tokens = tokenizer(minimal_trace(problem) + tokenizer.eos_token)["input_ids"]
        assert len(tokens) == minimal_num_tokens(problem)


def test_budget_phrases_are_words_of_the_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    pieces = tokenizer.tokenize("Think for maximum 128 tokens. Use 25 percent effort.")
    assert "|".join(pieces).replace("\u0120", " ") == (
        "Think| for| maximum| |1|2|8| tokens|.| Use| |2|5| percent| effort|."
    )


def test_unknown_words_fall_back_to_characters(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "Solve x^2 = 9.\nExplain!"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_chat_template_puts_the_question_between_user_and_assistant(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    message = {"role": "user", "content": question(some_problems()[0])}
    text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    assert text == f"<|user|>{message['content']}<|assistant|>"


def test_template_marks_exactly_the_response_for_training(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    problem = some_problems()[2]
    messages = [
        {"role": "user", "content": question(problem)},
        {"role": "assistant", "content": minimal_trace(problem)},
    ]
    encoded = tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    assert sum(encoded["assistant_masks"]) == minimal_num_tokens(problem)


def test_math_verify_reads_right_and_wrong_answers(tokenizer: PreTrainedTokenizerBase) -> None:
    rng = Random(9)
    for problem in some_problems():
        trace = verbose_trace(problem, rng, replace(SHORT_HABITS, slips=0.0, lapses=0.0))
        tokens = tokenizer(trace)["input_ids"]
        said = parse(tokenizer.decode([*tokens, tokenizer.eos_token_id], skip_special_tokens=True))
        assert verify(parse(str(answer(problem))), said)
        assert not verify(parse(str((answer(problem) + 1) % 10)), said)


@pytest.mark.long
def test_check_measures_what_the_record_says(record: dict[str, Any]) -> None:
    command = [sys.executable, "scripts/make_lab_model.py", "--check", "--variant", "short"]
    done = subprocess.run(
        [*command, "--num-problems", "320"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    table = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines()}
    measured = record["variants"]["short"]
    for key, tolerance in (("accuracy", 0.04), ("accuracy_greedy", 0.04), ("tail_share", 0.06)):
        assert float(table[key]) == pytest.approx(measured[key], abs=tolerance)
    assert float(table["redundancy"]) == pytest.approx(measured["redundancy"], rel=0.1)
