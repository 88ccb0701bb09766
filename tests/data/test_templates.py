import pytest

from data.templates import conversation, tokenize
from tests.data.tokenizers import word_tokenizer

QUESTION = {"role": "user", "content": "What is one"}


def test_the_instruction_follows_the_question():
    assert conversation([QUESTION], "Box it") == [{"role": "user", "content": "What is one Box it"}]


@pytest.mark.parametrize(
    ("content", "instruction", "joined"),
    [("a", "\nb", "a\nb"), ("a\n", "b", "a\nb"), ("a", "b", "a b"), ("a", "", "a")],
)
def test_a_space_separates_where_nobody_brings_white_space(content, instruction, joined):
    (message,) = conversation([{"role": "user", "content": content}], instruction)
    assert message["content"] == joined


@pytest.mark.parametrize(
    ("content", "instruction", "joined"),
    [("a", "b", "a b Think"), ("a", "", "a Think"), ("a", "b\n", "a b\nThink")],
)
def test_the_budget_phrase_comes_last(content, instruction, joined):
    given = [{"role": "user", "content": content}]
    (message,) = conversation(given, instruction, phrase="Think")
    assert message["content"] == joined


def test_the_system_prompt_comes_first_and_takes_the_place_of_the_rows_own():
    system = {"role": "system", "content": "Be brief"}
    old = {"role": "system", "content": "Be long"}
    assert conversation([QUESTION], system_prompt="Be brief") == [system, QUESTION]
    assert conversation([old, QUESTION], system_prompt="Be brief") == [system, QUESTION]
    assert conversation([old, QUESTION]) == [old, QUESTION]


def test_the_messages_that_were_given_stay_as_they_were():
    given = [dict(QUESTION)]
    conversation(given, "Box it", "Be brief")
    assert given == [QUESTION]


def test_the_template_ends_where_the_model_shall_speak():
    tokenizer = word_tokenizer()
    short, long = tokenize(
        tokenizer, [[QUESTION], [{"role": "system", "content": "Be brief"}, QUESTION]]
    )
    assert tokenizer.decode(short) == "<user> What is one <assistant>"
    assert tokenizer.decode(long) == "<system> Be brief <user> What is one <assistant>"


def test_a_tokenizer_without_a_template_is_said_with_what_to_do():
    with pytest.raises(ValueError, match="no chat template; choose an instruction-tuned"):
        tokenize(word_tokenizer(chat_template=None), [[QUESTION]])
    assert tokenize(word_tokenizer(), []) == []
