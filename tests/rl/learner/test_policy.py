from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from rl.learner.batch import Row, dummy_row
from rl.learner.policy import Policy, output_weight, pad_rows


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


def test_positions_are_those_that_predict_response_tokens() -> None:
    batch = pad_rows(ROWS, torch.device("cpu"))
    assert batch.token_ids.shape == (3, 8)
    assert batch.rows.tolist() == [0, 0, 0, 1, 2, 2]
    # Row 1 begins at 8, row 2 at 16.
    assert batch.places.tolist() == [1, 2, 3, 8, 21, 22]
    assert batch.targets.tolist() == [7, 8, 9, 2, 9, 10]


def test_padding_changes_no_log_prob(tiny_model: Path) -> None:
    policy = Policy(AutoModelForCausalLM.from_pretrained(tiny_model).eval(), 0.7, 1.0, 4)
    with torch.no_grad():
        together = policy(pad_rows(ROWS, torch.device("cpu"))).logprobs
        alone = [policy(pad_rows([r], torch.device("cpu"))).logprobs for r in ROWS]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


def test_log_probs_are_those_of_the_model(tiny_tied_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_tied_model).eval()
    with torch.no_grad():
        ours = Policy(model, 0.7, 1.0, 2)(pad_rows(ROWS[:1], torch.device("cpu"))).logprobs
        logits = model(torch.tensor([[5, 6, 7, 8, 9]])).logits[0] / 0.7
    theirs = logits.log_softmax(-1)[[1, 2, 3], [7, 8, 9]]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_dummy_row_gives_every_parameter_a_zero_gradient(tiny_model: Path) -> None:
    policy = Policy(AutoModelForCausalLM.from_pretrained(tiny_model), 1.0, 1.0, 4)
    (0 * policy(pad_rows([dummy_row()], torch.device("cpu"))).logprobs).sum().backward()
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
