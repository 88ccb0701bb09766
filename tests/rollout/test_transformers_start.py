import pytest
from transformers import MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from rollout.engine import EngineError
from rollout.transformers_start import check_layers, end_ids

TINY = {
    "vocab_size": 8,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
}


class Tokenizer:
    eos_token_id = 3


def test_full_attention_is_accepted():
    check_layers(Qwen2ForCausalLM(Qwen2Config(**TINY)))
    check_layers(MistralForCausalLM(MistralConfig(**TINY, sliding_window=None)))


def test_window_that_the_cache_does_not_have_is_refused():
    layers = ["full_attention", "sliding_attention"]
    mixed = Qwen2Config(**TINY, layer_types=layers, use_sliding_window=True, sliding_window=4)
    for model in (
        Qwen2ForCausalLM(mixed),
        MistralForCausalLM(MistralConfig(**TINY, sliding_window=4)),
    ):
        with pytest.raises(EngineError, match="has layers of sliding_attention; rollout=trans"):
            check_layers(model)


@pytest.mark.parametrize(("stated", "expected"), [(None, [3]), (1, [1, 3]), ([3, 5], [3, 5])])
def test_every_stated_end_ends(stated, expected):
    model = Qwen2ForCausalLM(Qwen2Config(**TINY))
    model.generation_config.eos_token_id = stated
    assert end_ids(model, Tokenizer()) == expected
