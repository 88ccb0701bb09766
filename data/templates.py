"""From a user's messages to the token ids that the policy reads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def conversation(
    messages: Sequence[Message], instruction: str = "", system_prompt: str = "", phrase: str = ""
) -> list[Message]:
    """`messages` as they are sent: the system prompt first, the instruction after the question.

    A system prompt takes the place of the row's own. The last message is the user's; the
    instruction follows it, and the budget `phrase` comes last, each after a space unless either
    side brings its own white space.
    """
    *earlier, last = messages
    content = _followed_by(_followed_by(last["content"], instruction), phrase)
    if system_prompt:
        system: Message = {"role": "system", "content": system_prompt}
        earlier = [system, *(m for m in earlier if m["role"] != "system")]
    return [*earlier, {**last, "content": content}]


def tokenize(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Sequence[Message]]
) -> list[list[int]]:
    """Token ids of each conversation by the model's chat template, up to where it shall speak.

    Raises ValueError when the tokenizer has no template, or the template refuses a conversation.
    """
    results = tokenize_each(tokenizer, conversations)
    refused = [result for result in results if isinstance(result, str)]
    if refused:
        raise ValueError(refused[0])
    return [result for result in results if not isinstance(result, str)]


def tokenize_each(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Sequence[Message]]
) -> list[list[int] | str]:
    """As `tokenize`, with the reason in place of the ids of a conversation that is refused."""
    if not conversations:
        return []
    if not tokenizer.chat_template:
        raise ValueError(
            f"the tokenizer of {tokenizer.name_or_path or 'the model'} has no chat template; "
            "choose an instruction-tuned or reasoning model, or add chat_template.jinja to its "
            "folder"
        )
    try:
        results: list[list[int] | str] = [*_templated(tokenizer, conversations)]
    # A template raises what its author and jinja2 please. One by one, to know which row it is.
    except Exception:
        results = [_one(tokenizer, messages) for messages in conversations]
    return [ids or "the chat template makes nothing of it" for ids in results]


def _followed_by(text: str, addition: str) -> str:
    if not addition:
        return text
    touching = not text[-1:].isspace() and not addition[0].isspace()
    return text + (" " if touching else "") + addition


def _one(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> list[int] | str:
    try:
        return _templated(tokenizer, [messages])[0]
    except Exception as error:
        return f"the chat template refuses it ({type(error).__name__}: {error})"


def _templated(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Sequence[Message]]
) -> list[list[int]]:
    token_ids = tokenizer.apply_chat_template(
        [list(messages) for messages in conversations],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    return [list(ids) for ids in token_ids]
