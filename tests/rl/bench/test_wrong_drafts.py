from types import SimpleNamespace

import pytest

from rl.bench.speculation import DRAFTS
from rl.bench.wrong_drafts import WrongProposer
from rollout.vllm import start
from rollout.vllm.history_proposer import HistoryProposer


def test_every_drafted_token_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HistoryProposer, "propose", lambda self: [[0, 9], []])
    proposer = WrongProposer(
        SimpleNamespace(  # type: ignore[arg-type]
            scheduler_config=SimpleNamespace(max_num_seqs=4),
            model_config=SimpleNamespace(
                max_model_len=64,
                hf_config=SimpleNamespace(eos_token_id=9),
                get_vocab_size=lambda: 10,
            ),
            speculative_config=SimpleNamespace(num_speculative_tokens=4),
        )
    )
    assert proposer.propose() == [[1, 0], []]


def test_what_is_measured_is_what_runs_draft_with() -> None:
    assert DRAFTS["history"] == start.HISTORY_PROPOSER
    assert DRAFTS["wrong"] == f"{WrongProposer.__module__}.{WrongProposer.__qualname__}"
