"""The speculation benchmark: its prompts, its sums, and a phase on the shared engine."""

from pathlib import Path

import numpy as np
import pytest

from data.types import Completion, Finish, Group, Prompt, Span
from rl.bench.lab import deepened, lab_model, lab_prompts
from rl.bench.speculation import (
    GROUP_SIZE,
    SIZES,
    Phase,
    answered,
    phase_prompts,
    row,
)
from rl.bench.stream import LAB, MAX_PROMPT_TOKENS
from rollout.drafting.acceptance import Acceptance
from rollout.engine import Sampling
from tests.engine_fixtures import LabEngine
from tests.rl.builders import prompt


def phase(seconds: float, drafted: int = 0, accepted: int = 0) -> Phase:
    """One of 100 tokens, in two equal completions of log-prob -0.5 each token."""
    completion = Completion(
        id="c",
        text="",
        token_ids=np.zeros(50, np.int32),
        logprobs=np.full(50, -0.5, np.float32),
        limit=64,
        finish=Finish.STOP,
        spans=(Span(start=0, stop=50, weight_version=0),),
    )
    drafts = Acceptance(verifications=10, drafted_at=[drafted], accepted_at=[accepted])
    group = Group(prompt=prompt("p"), completions=(completion, completion))
    return Phase(groups=[group], seconds=seconds, drafts=drafts)


def test_the_first_epoch_is_told_apart() -> None:
    """Ours takes as long at first and then half as long, with 10 and 20 of 40 drafts accepted."""
    ours = [phase(2.0, 10, 10)] * 8 + [phase(1.0, 40, 10), phase(1.0, 40, 20)]
    theirs = [phase(2.0)] * (8 + 2)
    found = row(32, ours, theirs, steps_per_epoch=8)
    assert found["ratio"] == found["low"] == found["high"] == 2.0
    assert found["first_epoch"]["ratio"] == 1.0
    assert found["ours_tokens_per_second"][-1] == 100 and found["their_tokens_per_second"][0] == 50
    # 30 of 80 over 20 verifications
    assert (found["accepted_length"], found["draft_acceptance"]) == (2.5, 0.375)
    assert (found["draft_length"], found["response_tokens"], found["entropy"]) == (4.0, 50.0, 0.5)


@pytest.mark.engine
def test_no_prompt_is_drawn_twice_in_an_epoch() -> None:
    size = SIZES["0.5M"]
    drawn = [p.id for steps in phase_prompts(size).values() for prompts in steps for p in prompts]
    assert len(set(drawn)) == len(drawn) == size.steps_per_epoch * sum(size.prompts.values())


def test_further_layers_leave_every_logit_as_it_was(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    lab = lab_model("short")
    deep = deepened(lab, tmp_path / "deep", SIZES["5M"].layers)
    small, large = (AutoModelForCausalLM.from_pretrained(path).eval() for path in (lab, deep))
    assert 4.9e6 < sum(p.numel() for p in large.parameters()) < 5.1e6
    tokens = torch.arange(2, 34)[None]
    with torch.no_grad():
        assert torch.equal(small(tokens).logits, large(tokens).logits)


@pytest.mark.engine
def test_a_phase_runs_as_many_as_it_may_and_never_more(
    lab_engine: LabEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, running, seen = lab_engine.engine.sample, 0, []

    async def counted(asked: Prompt, sampling: Sampling) -> Completion:
        nonlocal running
        running += 1
        seen.append(running)
        completion = await sample(asked, sampling)
        running -= 1
        return completion

    monkeypatch.setattr(lab_engine.engine, "sample", counted)
    groups = lab_engine.loop.run(
        answered(lab_engine.engine, lab_prompts(LAB, 2, MAX_PROMPT_TOKENS), 5, 1.0, 900)
    )
    assert max(seen) == 5
    assert [len(group.completions) for group in groups] == [GROUP_SIZE] * 2
