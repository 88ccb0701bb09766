"""Loss and gradient of micro-batches cut over all ranks, beside those of whole ones on each rank.

torchrun sequence_driver.py MODEL OUTPUT '{NAME: {"lengths": [[prompt, response], ...], ...}}'

A case also says its method and whether its layers are checkpointed.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM

from rl.algorithms.table import ALGORITHMS, policy_loss
from rl.learner.batch import Row
from rl.learner.flat import flatten
from rl.learner.model import enable_checkpointing
from rl.learner.policy import Policy, pad_rows
from rl.learner.process_group import start_process_group, stop_process_group
from rl.learner.sequence_parallel import SlicedPolicy, open_sequence_group

CPU = torch.device("cpu")
ENTROPY_COEFFICIENT = 0.01


def rows_of(lengths: list[list[int]]) -> list[Row]:
    """Rows of random tokens, the same on every rank, whose old log-probs are far off."""
    random = np.random.default_rng(7)
    return [
        Row(
            token_ids=random.integers(0, 64, prompt + response).astype(np.int32),
            prompt_length=prompt,
            mask=random.random(response) < 0.9,
            weight=1 / len(lengths),
            sampler_logprobs=random.normal(-4, 1, response).astype(np.float32),
            advantages=random.normal(size=response).astype(np.float32),
            ages=np.zeros(response, np.int32),
        )
        for prompt, response in lengths
    ]


def differentiated(policy: Policy, rows: list[Row], method: str) -> tuple[float, torch.Tensor]:
    """The loss of `rows`, with an entropy bonus, and its gradient in one vector."""
    flat = flatten(rows, CPU)
    policy.zero_grad()
    logprobs, entropies = policy(pad_rows(rows, CPU))
    losses = policy_loss(ALGORITHMS[method].config())(flat, logprobs, flat.sampler_logprobs).losses
    losses = losses - ENTROPY_COEFFICIENT * entropies
    loss = (flat.weights * losses.masked_fill(~flat.mask, 0.0)).sum()
    loss.backward()
    parts = [p.grad.flatten() for p in policy.parameters() if p.grad is not None]
    assert len(parts) == len(list(policy.parameters()))
    return loss.item(), torch.cat(parts).double()


def compared(model: Path, case: dict[str, Any], group: dist.ProcessGroup) -> dict[str, float]:
    """Both losses, and the distance of the gradients over the norm of the whole one."""
    policies = [AutoModelForCausalLM.from_pretrained(model).train() for _ in range(2)]
    if case["checkpointed"]:
        enable_checkpointing(policies[1], inputs_require_grad=False)
    rows = rows_of(case["lengths"])
    whole, gradient = differentiated(Policy(policies[0], 1.0, 1.0, 3), rows, case["method"])
    sliced = SlicedPolicy(policies[1], 1.0, 1.0, 3, group)
    cut, own = differentiated(sliced, rows, case["method"])
    dist.all_reduce(own)
    distance = float((own - gradient).norm() / gradient.norm())
    return {"whole": whole, "cut": cut, "distance": distance}


def main(model: Path, output: Path, cases: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    ranks = start_process_group()
    group = open_sequence_group(ranks.world_size)
    found = {name: compared(model, case, group) for name, case in cases.items()}
    if ranks.is_first:
        output.write_text(json.dumps(found))
    stop_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
