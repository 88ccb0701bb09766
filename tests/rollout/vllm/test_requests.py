from types import SimpleNamespace

from rollout.drafting.acceptance import Acceptance
from rollout.vllm.requests import acceptance_of


def test_a_requests_drafts_are_counted_step_by_step():
    kept = SimpleNamespace(per_step_drafted=[3, 3, 1], per_step_accepted=[2, 0, 1])
    found = acceptance_of(SimpleNamespace(spec_decode_metrics=kept))
    assert found == Acceptance(verifications=3, drafted_at=[3, 2, 2], accepted_at=[2, 1, 0])


def test_a_request_without_counts_had_no_drafts():
    assert acceptance_of(SimpleNamespace(spec_decode_metrics=None)) == Acceptance()
