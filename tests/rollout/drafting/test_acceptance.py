import pytest

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
    assert acceptance.draft_length == 4 / 3 and acceptance.undrafted == pytest.approx(1 / 3)


def test_nothing_drafted_is_one_token_per_step():
    acceptance = Acceptance()
    acceptance.count(0, 0)
    assert acceptance.accepted_length == 1.0 and acceptance.draft_acceptance == 0.0
    assert acceptance.survival == []
    assert acceptance.draft_length == 0.0 and acceptance.undrafted == 1.0


@pytest.mark.parametrize("split", [0, 1, 2, 3])
def test_counts_of_parts_add_up_to_those_of_the_whole(split):
    counted = [(1, 0), (3, 2), (2, 2)]
    whole, first, second = Acceptance(), Acceptance(), Acceptance()
    for number, (drafted, accepted) in enumerate(counted):
        whole.count(drafted, accepted)
        (first if number < split else second).count(drafted, accepted)
    first.add(second)
    assert first == whole


def test_what_two_replicas_foresaw_and_took_is_added_up():
    """Four verifications, 1 and 5 accepted tokens foreseen: tau = 1 + 6/4."""
    one = Acceptance(verifications=2, expected=1.0, draft_seconds=0.5, stored_tokens=10)
    one.add(Acceptance(verifications=2, expected=5.0, draft_seconds=0.25, stored_tokens=30))
    assert one.expected_length == 2.5
    assert (one.draft_seconds, one.stored_tokens) == (0.75, 40)
