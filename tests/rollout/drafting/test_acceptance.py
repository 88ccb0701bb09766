from rollout.drafting.acceptance import Acceptance


def test_rates_by_hand():
    """Drafts of 3, 1 and 0 tokens, of which 2, 1 and 0 were right: tau = 1 + 3/3."""
    acceptance = Acceptance()
    for drafted, accepted in ((3, 2), (1, 1), (0, 0)):
        acceptance.count(drafted, accepted)
    assert acceptance.verifications == 3
    assert acceptance.accepted_length == 2.0
    assert acceptance.draft_acceptance == 0.75
    assert acceptance.survival == [1.0, 1.0, 0.0]


def test_nothing_drafted_is_one_token_per_step():
    acceptance = Acceptance()
    acceptance.count(0, 0)
    assert acceptance.accepted_length == 1.0 and acceptance.draft_acceptance == 0.0
    assert acceptance.survival == []
