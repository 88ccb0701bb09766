import pytest

from rollout.transfer import layer_of

ATTENTION = "model.layers.11.self_attn"
EXPERTS = "model.layers.11.mlp"


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        (f"{ATTENTION}.q_proj.weight", ATTENTION),
        (f"{ATTENTION}.v_proj.bias", ATTENTION),
        (f"{ATTENTION}.o_proj.weight", ATTENTION),
        (f"{EXPERTS}.gate_proj.weight", EXPERTS),
        (f"{EXPERTS}.experts.3.up_proj.weight", EXPERTS),
        (f"{EXPERTS}.experts.gate_up_proj", EXPERTS),
        ("model.layers.11.input_layernorm.weight", "model.layers.11.input_layernorm"),
        ("model.embed_tokens.weight", "model.embed_tokens"),
        ("model.norm.weight", "model.norm"),
        ("lm_head.weight", "lm_head"),
        ("transformer.h.0.attn.c_attn.weight", "transformer.h.0.attn"),
    ],
)
def test_tensors_that_engines_fuse_are_of_one_layer(name, layer):
    assert layer_of(name) == layer
