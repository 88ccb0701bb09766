import numpy as np
import pytest

from rollout.drafting.references import OwnNgramDrafter, SuffixTreeDrafter

PROMPT = np.array([50, 51], np.int32)


def test_own_ngram_is_followed_from_its_latest_place():
    drafter = OwnNgramDrafter(max_drafts=2, gram=2)
    drafter.open("a", PROMPT)
    assert drafter.propose(["a"], [[1, 2, 3, 1, 2, 4, 1]]) == [[]]
    assert drafter.propose(["a"], [[2]]) == [[4, 1]]


def test_requests_do_not_share_ngrams():
    drafter = OwnNgramDrafter(max_drafts=2, gram=2)
    for name in "ab":
        drafter.open(name, PROMPT)
    assert drafter.propose(["a", "b"], [[1, 2, 3], [1, 2]]) == [[], []]
    drafter.close("a")
    drafter.open("a", PROMPT)
    assert drafter.propose(["a"], [[1, 2]]) == [[]]


@pytest.mark.engine
def test_suffix_trees_follow_a_sibling():
    drafter = SuffixTreeDrafter(max_drafts=4)
    for name in "ab":
        drafter.open(name, PROMPT)
    drafts = drafter.propose(["a", "b"], [[1, 2, 3, 4, 5], [1, 2, 3]])
    assert drafts[1] == [4, 5]
    drafter.close("a")
    drafter.close("b")
