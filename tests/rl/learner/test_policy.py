from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rl.learner.batch import Row, dummy_row
from rl.learner.model import enable_checkpointing, enable_shared_prefixes
from rl.learner.policy import Policy, output_weight, pad_rows, share_prefixes

CPU = torch.device("cpu")


def row(token_ids: list[int], prompt_length: int) -> Row:
    length = len(token_ids) - prompt_length
    return Row(
        token_ids=np.array(token_ids, dtype=np.int32),
        prompt_length=prompt_length,
        mask=np.ones(length, dtype=np.bool_),
        sampler_logprobs=np.zeros(length, dtype=np.float32),
        advantages=np.zeros(length, dtype=np.float32),
        ages=np.zeros(length, dtype=np.int32),
    )


ROWS = [row([5, 6, 7, 8, 9], 2), row([1, 2], 1), row([3, 4, 5, 6, 7, 8, 9, 10], 6)]

GROUP = [row([5, 6, 7, 8, 9], 3), row([5, 6, 7, 1], 3), row([5, 6, 7, 2, 2, 4, 1], 3)]
# Three leaves share 8, two of them 8 9; one is a whole row of another, one stands twice.
TREE = [row([5, 6, 7, *tail], 3) for tail in ([8, 9, 1], [8, 2], [8, 9], [4, 4], [4, 4])]


def test_positions_are_those_that_predict_response_tokens() -> None:
    batch = pad_rows(ROWS, CPU)
    assert batch.token_ids.shape == (3, 8)
    assert batch.rows.tolist() == [0, 0, 0, 1, 2, 2]
    # Row 1 begins at 8, row 2 at 16.
    assert batch.places.tolist() == [1, 2, 3, 8, 21, 22]
    assert batch.targets.tolist() == [7, 8, 9, 2, 9, 10]


def test_padding_changes_no_log_prob(tiny_model: Path) -> None:
    policy = Policy(AutoModelForCausalLM.from_pretrained(tiny_model).eval(), 0.7, 1.0, 4)
    with torch.no_grad():
        together = policy(pad_rows(ROWS, CPU)).logprobs
        alone = [policy(pad_rows([r], CPU)).logprobs for r in ROWS]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


def test_shared_tokens_stand_once_and_predict_for_every_row() -> None:
    batch = share_prefixes([row([5, 6, 8], 2), row([5, 6, 7, 9], 2)], CPU)
    assert batch.token_ids.tolist() == [[5, 6, 7, 9, 8]]
    assert batch.rows.tolist() == [0, 1, 1]
    assert batch.places.tolist() == [1, 1, 2]
    assert batch.targets.tolist() == [8, 7, 9]


@pytest.mark.parametrize("rows", [ROWS, GROUP, TREE + ROWS], ids=["packed", "group", "tree"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_sharing_prefixes_leaves_loss_and_gradient_as_they_were(
    rows: list[Row], attention: str, checkpointing: bool, tiny_model: Path
) -> None:
    losses, logprobs, gradients = [], [], []
    for arrange in (pad_rows, share_prefixes):
        model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=attention)
        if checkpointing:
            enable_checkpointing(model.train(), inputs_require_grad=False)
        policy = Policy(model, 0.7, 1.0, 4)
        found = policy(arrange(rows, CPU))
        weights = torch.linspace(-1, 2, len(found.logprobs))
        loss = (weights * found.logprobs - 0.1 * found.entropies).mean()
        loss.backward()
        losses.append(loss.item())
        logprobs.append(found.logprobs)
        gradients.append(torch.cat([p.grad.flatten() for p in policy.parameters()]))
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    torch.testing.assert_close(logprobs[1], logprobs[0], rtol=0, atol=1e-5)
    assert (gradients[1] - gradients[0]).norm() < 1e-5 * gradients[0].norm()


def test_log_probs_are_those_of_the_model(tiny_tied_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_tied_model).eval()
    with torch.no_grad():
        ours = Policy(model, 0.7, 1.0, 2)(pad_rows(ROWS[:1], CPU)).logprobs
        logits = model(torch.tensor([[5, 6, 7, 8, 9]])).logits[0] / 0.7
    theirs = logits.log_softmax(-1)[[1, 2, 3], [7, 8, 9]]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_dummy_row_gives_every_parameter_a_zero_gradient(tiny_model: Path) -> None:
    policy = Policy(AutoModelForCausalLM.from_pretrained(tiny_model), 1.0, 1.0, 4)
    (0 * policy(pad_rows([dummy_row()], CPU)).logprobs).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in policy.parameters())


def test_a_model_that_transforms_its_logits_is_refused() -> None:
    config = Qwen2Config(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    model = Qwen2ForCausalLM(config)
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="config sets final_logit_softcapping"):
        output_weight(model)
    model.config.final_logit_softcapping = None
    model.lm_head = torch.nn.Linear(8, 8, bias=True)
    with pytest.raises(ValueError, match=r"output layer is Linear\(.*bias=True\)"):
        output_weight(model)


SHAPE = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
HEADS = {"num_key_value_heads": 2, "intermediate_size": 8}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (MistralConfig(**SHAPE, **HEADS, sliding_window=4), "sliding_window=4"),
        (
            Qwen2Config(
                **SHAPE, **HEADS, use_sliding_window=True, sliding_window=4, max_window_layers=1
            ),
            "sliding_attention",
        ),
        (BloomConfig(vocab_size=8, hidden_size=8, n_layer=1, n_head=2), "no position_ids"),
        (FalconConfig(**SHAPE, alibi=True), "alibi"),
    ],
)
def test_a_model_that_sees_more_than_a_mask_says_cannot_share_prefixes(
    config: PreTrainedConfig, reason: str
) -> None:
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ValueError, match=f"the model has {reason}; set learner.share_prefixes"):
        enable_shared_prefixes(model, CPU)


def test_a_model_with_windows_in_no_layer_may_share_prefixes() -> None:
    windows = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}
    model = AutoModelForCausalLM.from_config(Qwen2Config(**SHAPE, **HEADS, **windows))
    enable_shared_prefixes(model, CPU)
    assert model.config._attn_implementation == "sdpa"
