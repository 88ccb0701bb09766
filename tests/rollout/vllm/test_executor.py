"""How often a worker is asked in a step; what engines answer through it, all other tests see."""

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.engine

FREE = SimpleNamespace(has_structured_output_requests=False)
UNDER_A_GRAMMAR = SimpleNamespace(has_structured_output_requests=True)
ANSWERS = {
    "laconic_step": ("tokens", "drafts"),
    "execute_model": None,
    "sample_tokens": "tokens under a grammar",
    "take_draft_token_ids": "drafts under a grammar",
}


@pytest.fixture
def executor():
    """Ours, with a worker that answers what `ANSWERS` says; `asked` is what it was asked."""
    from rollout.vllm.executor import WholeStepExecutor

    executor = object.__new__(WholeStepExecutor)
    executor.output_rank, executor.asked = 0, []
    executor.kv_output_aggregator = executor.ec_output_aggregator = None

    def collective_rpc(method, **options):
        executor.asked.append(method)
        return ANSWERS[method]

    executor.collective_rpc = collective_rpc
    return executor


def test_a_step_with_its_drafts_is_one_question(executor):
    assert executor.execute_model(FREE, non_block=True).result() == "tokens"
    assert executor.take_draft_token_ids() == "drafts"
    assert executor.execute_model(FREE) == "tokens"
    assert executor.asked == ["laconic_step", "laconic_step"]


def test_under_a_grammar_tokens_are_sampled_behind_the_mask(executor):
    executor.execute_model(FREE)
    assert executor.execute_model(UNDER_A_GRAMMAR) is None
    assert executor.sample_tokens("mask") == "tokens under a grammar"
    assert executor.take_draft_token_ids() == "drafts under a grammar"
    assert executor.asked[1:] == ["execute_model", "sample_tokens", "take_draft_token_ids"]


def test_no_step_is_scheduled_ahead(executor):
    assert not executor.supports_async_scheduling()
