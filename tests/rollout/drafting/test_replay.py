import numpy as np

from rollout.drafting.config import HistoryConfig
from rollout.drafting.drafter import HistoryDrafter
from rollout.drafting.references import OwnNgramDrafter
from rollout.drafting.replay import Recorded, num_equal, replay

PROMPT = np.array([50, 51], np.int32)


def recorded(*outputs):
    return [Recorded(prompt_ids=PROMPT, token_ids=np.array(each, np.int32)) for each in outputs]


class Scripted:
    """Always drafts the same; remembers what it was asked."""

    def __init__(self, draft):
        self.draft = draft
        self.log = []

    def open(self, request, prompt_ids):
        self.log.append(f"open {request}")

    def propose(self, requests, fresh):
        self.log += [f"{r} {new}" for r, new in zip(requests, fresh, strict=True)]
        return [self.draft for _ in requests]

    def close(self, request):
        self.log.append(f"close {request}")


def test_engine_goes_on_by_what_is_right_and_one_token():
    """7, then 1 2 accepted and 9, then nothing accepted of 1 2 3 and the end 4."""
    drafter = Scripted([1, 2, 3])
    acceptance = replay(drafter, recorded([7, 1, 2, 9, 4]), num_running=1, name="e")
    assert drafter.log == [
        "open e/0",
        "e/0 [7]",
        "e/0 [1, 2, 9]",
        "e/0 [4]",
        "close e/0",
    ]
    assert acceptance.verifications == 2
    assert acceptance.accepted_at == [1, 1, 0] and acceptance.drafted_at == [2, 2, 2]
    assert acceptance.accepted_length == 2.0


def test_without_drafts_every_step_is_one_token():
    acceptance = replay(Scripted([]), recorded([1, 2, 3], [4, 5]), num_running=2)
    assert acceptance.verifications == 3 and acceptance.accepted_length == 1.0


def test_next_output_starts_when_another_ends():
    drafter = Scripted([])
    replay(drafter, recorded([1], [2, 3], [4]), num_running=2, name="e")
    opened = [line for line in drafter.log if line.startswith(("open", "close"))]
    assert opened == ["open e/0", "open e/1", "close e/0", "open e/2", "close e/1", "close e/2"]


def test_second_epoch_is_accepted_longer_than_the_first_and_than_own_ngrams():
    """Four answers of 60 random tokens, told again in the second epoch."""
    rng = np.random.default_rng(0)
    answers = recorded(*rng.integers(40, size=(4, 60)).tolist())
    ours = HistoryDrafter(HistoryConfig(), max_prompts=4, max_tokens=80, max_drafts=8)
    ngram = OwnNgramDrafter(max_drafts=8)
    first, second = (replay(ours, answers, num_running=4, name=str(epoch)) for epoch in range(2))
    own = replay(ngram, answers, num_running=4)
    assert second.accepted_length > 4 > first.accepted_length
    assert own.accepted_length == 1.0


def test_common_prefix():
    assert [num_equal([1, 2], truth) for truth in ([1, 2, 3], [1, 3], [2], [])] == [2, 1, 0, 0]
