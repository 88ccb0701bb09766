"""The slow reference itself: what it keeps of a distribution."""

import torch

from tests.rollout.vllm.reference import sampling_log_probs


def test_whole_distribution_keeps_its_least_likely_tokens():
    logits = torch.randn(200, 640, generator=torch.Generator().manual_seed(0)) * 6
    kept = sampling_log_probs(logits, 1.0, 1.0)
    torch.testing.assert_close(kept, logits.double().log_softmax(-1))


def test_nucleus_is_the_fewest_tokens_that_reach_top_p():
    logits = torch.tensor([[0.5, 0.4, 0.1]]).log()
    half = sampling_log_probs(logits, 1.0, 0.45).exp()
    torch.testing.assert_close(half, torch.tensor([[1.0, 0.0, 0.0]]).double())
    most = sampling_log_probs(logits, 1.0, 0.8).exp()
    torch.testing.assert_close(most, torch.tensor([[5 / 9, 4 / 9, 0.0]]).double())
