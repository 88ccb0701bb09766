"""The real engine that tests share: one vLLM on the lab's short model, started once per session.

`lab_engine` is that engine; a test that changes its weights asks for `lab_weights` as well, which
puts the model's own weights back afterwards.
"""

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from data.types import Completion, Prompt
from rollout.background import BackgroundLoop
from rollout.config import VllmConfig
from rollout.engine import Sampling
from rollout.transfer import WeightTransfer
from rollout.vllm.engine import VllmEngine
from rollout.vllm.start import start_engine

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LAB = Path(__file__).resolve().parent.parent / "data" / "lab"
MAX_MODEL_TOKENS = 640
REQUESTS = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabEngine:
    """A running vLLM with what a test needs around it."""

    engine: VllmEngine
    loop: BackgroundLoop
    transfer: WeightTransfer
    folder: Path
    prompts: Sequence[Prompt]

    def sample(self, count: int, limit: int, **options: Any) -> list[tuple[Prompt, Completion]]:
        """`count` completions over the prompts in turn, all in flight at once, seeded by index."""
        prompts = list(itertools.islice(itertools.cycle(self.prompts), count))

        async def together() -> list[Completion]:
            samplings = [
                Sampling(id=f"lab-{next(REQUESTS)}", limit=limit, **{"seed": seed, **options})
                for seed in range(count)
            ]
            pairs = zip(prompts, samplings, strict=True)
            return list(await asyncio.gather(*(self.engine.sample(p, s) for p, s in pairs)))

        return list(zip(prompts, self.loop.run(together()), strict=True))

    def model(self) -> "PreTrainedModel":
        """The same checkpoint in transformers, float32."""
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    def publish(self, tensors: Sequence[tuple[str, torch.Tensor]]) -> int:
        """One transfer cycle; returns the new weight version."""
        version = self.engine.weight_version + 1
        self.transfer.start()
        self.transfer.send(tensors)
        self.transfer.finish(version)
        return version


@contextmanager
def started(folder: Path, **options: Any) -> Iterator[LabEngine]:
    """A vLLM on the checkpoint in `folder`, ended on leaving; `options` are `VllmConfig`'s."""
    config = VllmConfig(**{"max_num_seqs": 64, "kv_cache_gib": 0.25, **options})
    with ExitStack() as stack:
        loop = stack.enter_context(closing(BackgroundLoop()))
        engine = start_engine(
            config,
            loop=loop,
            model_path=str(folder),
            dtype="float32",
            max_model_tokens=MAX_MODEL_TOKENS,
        )
        stack.callback(engine.shutdown)
        yield LabEngine(
            engine=engine,
            loop=loop,
            transfer=stack.enter_context(closing(engine.start_transfer(config.sync_bucket_mib))),
            folder=folder,
            prompts=lab_prompts(folder, 32),
        )


def lab_prompts(folder: Path, count: int) -> list[Prompt]:
    """The first held-out problems of the short lab, in the chat template of `folder`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = (LAB / "short_heldout.jsonl").read_text().splitlines()[:count]
    found = []
    for index, row in enumerate(map(json.loads, rows)):
        encoding = tokenizer.apply_chat_template(
            row["prompt"], add_generation_prompt=True, return_dict=True
        )
        found.append(
            Prompt(
                id=f"lab-{index}",
                messages=tuple(row["prompt"]),
                token_ids=encoding["input_ids"],
                answer=row["answer"],
            )
        )
    return found


def tied_copy(folder: Path, target: Path) -> Path:
    """The checkpoint of `folder` with its output head tied to the embedding, in `target`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.config.tie_word_embeddings = True
    # A head that was trained apart is smaller: the product with the embedding would be too sharp.
    model.get_input_embeddings().weight.data.mul_(0.5)
    model.tie_weights()
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    return target


@pytest.fixture(scope="session")
def lab_engine() -> Iterator[LabEngine]:
    """The session's vLLM on the lab's short model."""
    with started(LAB / "short") as running:
        yield running


@pytest.fixture
def lab_weights(lab_engine: LabEngine) -> Iterator[LabEngine]:
    """`lab_engine`, whose weights the test may change."""
    yield lab_engine
    lab_engine.publish(list(lab_engine.model().named_parameters()))
