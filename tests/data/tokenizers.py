"""A tokenizer of words with a chat template, for tests that need no real vocabulary."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{%- for m in messages -%}{{ '<' + m['role'] + '>' + ' ' + m['content'] + ' ' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<assistant>' }}{%- endif -%}"
)

WORDS = ["What", "is", "one", "plus", "two", "three", "Box", "it", "Be", "brief"]
WORDS += ["Think", "for", "7", "tokens."]


def word_tokenizer(chat_template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """One token per word; words that it does not know are `?`."""
    words = ["?", "<system>", "<user>", "<assistant>", *WORDS]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="?")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="?", chat_template=chat_template
    )
