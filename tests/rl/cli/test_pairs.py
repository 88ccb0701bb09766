"""`laconic pairs`: what it refuses, and pairs of two lab models by an engine in this process."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from rl.cli.main import main
from rl.cli.model_folder import LAB
from rl.cli.pairs import accounts, as_text
from rl.evaluate.outcomes import read_outcomes
from rl.offline.pair_files import read_pairs
from rl.offline.pairs import ALL_WRONG, BUILDERS, build_pairs, concise_pairs
from tests.rl.offline.answers import side

QUICKSTART = Path(__file__).resolve().parents[3] / "recipes" / "quickstart.yaml"
NUM_PROBLEMS, SAMPLES = 6, 4


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["pairs", str(QUICKSTART), *map(str, arguments)])
    return int(str(caught.value.code))


def test_accounts_say_how_many_problems_gave_pairs_and_why_others_did_not() -> None:
    long = [side("l", [(9, True)], "a"), side("l", [(8, False)], "b")]
    short = [side("s", [(3, True)], "a"), side("s", [(4, False)], "b")]
    found = accounts(build_pairs(long, short, concise_pairs, seed=0))
    assert found == {
        "problems": 2, "problems_with_pairs": 1, "pairs": 1, "by_level": {"length": 1},
        "without": {ALL_WRONG: 1}, "chosen_tokens": 3, "rejected_tokens": 9, "chosen_correct": 1,
        "rejected_correct": 1,
    }  # fmt: skip
    model = {"model": "m", "accuracy": 0.5, "response_tokens": 8.5}
    text = as_text({"long": model, "short": model, "methods": {"concise": found}})
    assert text.splitlines()[1:] == [
        "short: m, accuracy 0.500, 8.5 tokens",
        "concise: 1 pairs from 1 of 2 problems",
        "  1 length; chosen 3.0 tokens, 1.000 correct; rejected 9.0 tokens, 1.000 correct",
        "  1 without: every completion is wrong",
    ]


def test_everything_that_is_in_the_way_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").touch()
    code = run(
        "--long", "lab:short", "--short", "lab:short_tied", "--to", tmp_path, "--samples", 0,
        "seed=x",
    )  # fmt: skip
    assert code == 2
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == [
        "laconic pairs: 4 problem(s):",
        f"- --to {tmp_path}: not empty, and nothing is overwritten; give a new folder",
        "- --samples 0: give 1 or more",
    ]
    assert "lm_head.weight" in said[3]
    assert "seed=x (command line): must be an integer" in said[4]


@pytest.mark.engine
def test_two_models_are_sampled_and_paired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "pairs"
    code = run(
        "--long", "lab:long", "--short", "lab:short", "--to", target, "--samples", SAMPLES,
        "rollout=transformers", f"data.num_prompts={NUM_PROBLEMS}", "verifier.workers=1",
        "limit.max_response_tokens=96",
    )  # fmt: skip
    assert code == 0
    content = json.loads((target / "pairs.json").read_text())
    for name in ("long", "short"):
        outcomes = read_outcomes(target / f"{name}.parquet").sampled
        assert outcomes.correct.shape == (NUM_PROBLEMS, SAMPLES)
        assert outcomes.correct.mean() == pytest.approx(content[name]["accuracy"])
        assert outcomes.tokens.mean() == pytest.approx(content[name]["response_tokens"])
    assert content["long"]["response_tokens"] > content["short"]["response_tokens"] + 1
    tokenizer = AutoTokenizer.from_pretrained(LAB / "short")
    said = capsys.readouterr().out
    for method in BUILDERS:
        found = content["methods"][method]
        rows = read_pairs(target / f"{method}.parquet").to_pylist()
        assert found["problems"] == NUM_PROBLEMS
        assert found["problems_with_pairs"] + sum(found["without"].values()) == NUM_PROBLEMS
        assert len({row["prompt_id"] for row in rows}) == found["problems_with_pairs"]
        assert found["pairs"] == len(rows) > 0
        assert f"{method}: {len(rows)} pairs from" in said
        for row in rows:
            assert tokenizer(row["prompt"])["input_ids"] == row["prompt_ids"]
            for name in ("chosen", "rejected"):
                ids = row[f"{name}_ids"]
                assert tokenizer.decode(ids, skip_special_tokens=True) == row[name]
                ended = ids[-1] == tokenizer.eos_token_id
                assert ended == (row[f"{name}_finish"] == "stop")
                assert row[f"{name}_tokens"] == len(row[f"{name}_ids"])
