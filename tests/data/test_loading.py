import json
import logging

import datasets
import pytest

from data.config import DataConfig, UnusableRows
from data.loading import load_dataset, load_prompts
from data.types import prompt_id
from tests.data.tokenizers import word_tokenizer

QUESTION = "What is one plus two"
MESSAGES = [{"role": "user", "content": QUESTION}]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def load(tmp_path):
    """Loads rows that were written as JSONL; strings are lines as they stand."""

    def load_rows(*rows, max_prompt_tokens=100, **options):
        path = tmp_path / "questions.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) + "\n")
        config = DataConfig(path=str(path), **options)
        return load_prompts(config, word_tokenizer(), max_prompt_tokens)

    return load_rows


def test_a_row_becomes_a_prompt(load):
    (prompt,) = load({"prompt": QUESTION, "answer": "three", "level": 2, "tags": ["x"]})
    assert prompt.messages == tuple(MESSAGES)
    assert prompt.answer == "three"
    assert prompt.source == "questions.jsonl"
    assert prompt.extra == {"answer": "three", "level": 2, "tags": ["x"]}
    assert prompt.id == prompt_id("questions.jsonl", prompt.messages)
    assert word_tokenizer().decode(prompt.token_ids) == f"<user> {QUESTION} <assistant>"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": QUESTION, "solution": "3"},
        {"prompt": MESSAGES, "answer": "3"},
        {"prompt": MESSAGES, "solution": "3", "answer": 3},
        {"prompt": MESSAGES, "data_source": "s", "reward_model": {"ground_truth": "3"}},
        {"input": QUESTION, "label": "3"},
        {"prompt": QUESTION, "label": "3"},
        {"question": QUESTION, "answer": "3"},
        {"prompt": MESSAGES, "info": {"answer": "3"}},
        {"prompt": MESSAGES, "info": '{"answer": 3}'},
        {"problem": QUESTION, "answer": " 3 "},
        {"question": QUESTION, "answer": "one plus two is <<1+2=3>>3\n#### 3"},
    ],
    ids=[
        "trl", "trl-messages", "trl-both", "verl", "openrlhf", "openrlhf-prompt", "verifiers",
        "verifiers-info", "verifiers-info-text", "deepscaler", "gsm8k",
    ],
)  # fmt: skip
def test_columns_of_other_frameworks_load_as_they_are(load, row):
    (prompt,) = load(row)
    assert prompt.messages == tuple(MESSAGES)
    assert prompt.answer == "3"


def test_configured_columns_win(load):
    row = {"prompt": "no", "answer": "no", "q": QUESTION, "meta": {"a": "3"}}
    (prompt,) = load(row, prompt_column="q", answer_column="meta.a")
    assert (prompt.messages[0]["content"], prompt.answer) == (QUESTION, "3")


def test_source_comes_from_the_row_when_it_has_one(load):
    first, second = load(
        {"prompt": QUESTION, "answer": "3", "data_source": "verl"},
        {"prompt": QUESTION, "answer": "3", "source": "lab"},
    )
    assert (first.source, second.source) == ("verl", "lab")
    assert first.id != second.id


def test_instruction_and_system_prompt_reach_the_tokens_and_not_the_id(load):
    row = {"prompt": QUESTION, "answer": "3"}
    (plain,), (dressed,) = load(row), load(row, instruction="Box it", system_prompt="Be brief")
    assert word_tokenizer().decode(dressed.token_ids) == (
        f"<system> Be brief <user> {QUESTION} Box it <assistant>"
    )
    assert dressed.id == plain.id
    assert dressed.messages == plain.messages


def test_missing_answers_name_the_columns_and_what_to_set(load):
    with pytest.raises(ValueError) as caught:
        load({"prompt": QUESTION, "target": "3"})
    message = str(caught.value)
    assert "has the columns prompt, target" in message
    assert "set data.answer_column=NAME" in message


def test_missing_question_and_answer_are_said_together(load):
    with pytest.raises(ValueError) as caught:
        load({"a": 1}, answer_column="gold")
    assert "data.prompt_column=NAME" in str(caught.value)
    assert "no answers in a column gold" in str(caught.value)


def test_every_unusable_row_is_listed_by_its_number(load):
    good = {"prompt": QUESTION, "answer": "3"}
    with pytest.raises(ValueError) as caught:
        load(
            good,
            {"prompt": QUESTION, "answer": ""},
            {"prompt": "", "answer": "3"},
            {"prompt": QUESTION},
            {"prompt": [{"role": "user"}], "answer": "3"},
            {"prompt": [*MESSAGES, {"role": "assistant", "content": "3"}], "answer": "3"},
            {"prompt": "one " * 50, "answer": "3"},
            {"prompt": QUESTION, "answer": ["3"]},
            max_prompt_tokens=20,
        )
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("rows that cannot be used (7):")
    assert [line.split(":")[0].strip() for line in lines[1:]] == [f"row {i}" for i in range(2, 9)]
    assert lines[1].endswith("answer is empty")
    assert lines[3].endswith("answer is missing; it must be text or a number")
    assert lines[5].endswith("prompt ends with a message of 'assistant', not of 'user'")
    assert lines[6].endswith(
        "the prompt has 52 tokens, more than rollout.max_prompt_tokens=20; "
        "set rollout.max_prompt_tokens>=52"
    )


def test_a_prompt_of_exactly_the_bound_is_allowed(load):
    assert len(load({"prompt": QUESTION, "answer": "3"}, max_prompt_tokens=7)) == 1


def test_ten_rows_are_shown_and_the_rest_counted(load):
    with pytest.raises(ValueError) as caught:
        load(*[{"prompt": QUESTION, "answer": ""}] * 25)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[0].endswith("(25):")
    assert lines[-1] == "  and 15 more"


def test_lines_that_are_no_objects_are_named(load):
    good = {"prompt": QUESTION, "answer": "3"}
    with pytest.raises(ValueError) as caught:
        load(good, '{"prompt": "What', "", "[1]")
    message = str(caught.value)
    assert "line 2 is not JSON" in message
    assert "line 4 is a JSON list, not an object" in message
    assert "line 3" not in message


def test_duplicates_are_kept_once_listed_by_row_and_counted(load, caplog):
    with caplog.at_level(logging.WARNING):
        prompts = load(
            {"prompt": QUESTION, "answer": "3"},
            {"prompt": "What is two", "answer": "2"},
            {"prompt": MESSAGES, "answer": "3"},
            {"prompt": QUESTION, "answer": "4"},
        )
    assert [p.answer for p in prompts] == ["3", "2"]
    assert "2 of 4 rows repeat an earlier question and are left out, 1 of them with" in caplog.text
    assert "row 3 repeats row 1\n" in caplog.text
    assert "row 4 repeats row 1 with another answer" in caplog.text


def test_unusable_rows_are_left_out_listed_and_counted_where_a_recipe_says_so(tmp_path, caplog):
    rows = [
        {"prompt": QUESTION, "answer": "3"},
        {"prompt": "What is two", "answer": ""},
        {"prompt": "one " * 50, "answer": "3"},
        {"prompt": QUESTION, "answer": "3"},
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    config = DataConfig(path=str(path), unusable_rows=UnusableRows.leave_out)
    with caplog.at_level(logging.WARNING):
        dataset = load_dataset(config, word_tokenizer(), 20)
    assert len(dataset.prompts) == 1
    assert dataset.report.counts() == {
        "path": str(path),
        "split": "train",
        "rows": 4,
        "prompts": 1,
        "duplicates": 1,
        "duplicates_with_another_answer": 0,
        "unusable": 2,
    }
    assert "2 of 4 rows cannot be used and are left out" in caplog.text
    assert "row 2: answer is empty" in caplog.text
    assert "row 3: the prompt has 52 tokens" in caplog.text


def test_a_dataset_without_a_usable_row_is_refused_either_way(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({"prompt": QUESTION, "answer": ""}))
    config = DataConfig(path=str(path), unusable_rows=UnusableRows.leave_out)
    with pytest.raises(ValueError, match="row 1: answer is empty"):
        load_dataset(config, word_tokenizer(), 20)


def test_a_row_that_the_chat_template_refuses_is_named(tmp_path):
    strict = "{% if messages|length > 1 %}{{ raise_exception('one message only') }}{% endif %}what"
    path = tmp_path / "questions.jsonl"
    several = [{"role": "system", "content": "Be brief"}, *MESSAGES]
    rows = [{"prompt": QUESTION, "answer": "3"}, {"prompt": several, "answer": "3"}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(ValueError) as caught:
        load_prompts(DataConfig(path=str(path)), word_tokenizer(strict), 20)
    assert "row 2: the chat template refuses it (TemplateError: one message only)" in str(
        caught.value
    )
    assert "row 1" not in str(caught.value)


def test_parquet_and_folders_load_through_datasets(tmp_path):
    rows = datasets.Dataset.from_list(
        [{"prompt": MESSAGES, "reward_model": {"ground_truth": "3"}, "level": "easy"}]
    )
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "train.parquet"
    rows.to_parquet(str(file))
    rows.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "splits"))
    for path in (file, file.parent, tmp_path / "saved", tmp_path / "splits"):
        (prompt,) = load_prompts(DataConfig(path=str(path)), word_tokenizer(), 100)
        assert (prompt.answer, prompt.extra["level"]) == ("3", "easy")
        assert prompt.extra["reward_model"] == {"ground_truth": "3"}
        assert prompt.messages == tuple(MESSAGES)


def test_held_out_prompts_come_from_their_own_path_and_split(tmp_path):
    for name, answer in (("train", "1"), ("test", "2")):
        row = {"prompt": QUESTION, "answer": answer}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    config = DataConfig(path=str(tmp_path), eval_path=str(tmp_path))
    tokenizer = word_tokenizer()
    assert load_prompts(config, tokenizer, 100)[0].answer == "1"
    assert load_prompts(config, tokenizer, 100, held_out=True)[0].answer == "2"


def test_the_packaged_lab_loads_by_name():
    config = DataConfig(path="lab:short", eval_path="lab:short")
    tokenizer = word_tokenizer()
    train = load_prompts(config, tokenizer, 1024)
    held_out = load_prompts(config, tokenizer, 1024, held_out=True)
    assert {p.source for p in train} == {"lab_short"}
    assert all(p.extra["level"] >= 1 for p in held_out)
    assert not {p.id for p in train} & {p.id for p in held_out}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.jsonl", "no such file or folder"),
        ("./missing", "no such file or folder"),
        ("lab:medium", "lab:short and lab:long"),
        ("nobody/no-such-dataset", "Hub name that this machine can reach"),
    ],
)
def test_data_that_are_not_there_give_one_clear_message(path, message, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=f"data path {path}") as caught:
        load_prompts(DataConfig(path=path), word_tokenizer(), 100)
    assert message in str(caught.value)


def test_a_file_that_is_no_data_is_refused(tmp_path):
    path = tmp_path / "rows.pkl"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot read \.pkl; give \.jsonl or \.parquet"):
        load_prompts(DataConfig(path=str(path)), word_tokenizer(), 100)


def test_no_rows_are_an_error(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ValueError, match="there are no rows"):
        load_prompts(DataConfig(path=str(tmp_path / "empty.jsonl")), word_tokenizer(), 100)
