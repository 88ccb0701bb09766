"""`laconic bench tree`: sampled tokens for a leaf of a tree, over those of a lone completion.

One vLLM on the long lab's model answers the same prompts in turn as trees (TreePO) and one by one,
with equally many completions of each; tokens that several leaves share were sampled once. What that
costs in diversity is measured on the same groups.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

from data.types import Prompt
from rewards.answers import boxed_answer
from rewards.pool import WorkerPool
from rewards.verifiers.math import MathVerifier
from rl.bench.bench import Result, alternate, paired_ratio
from rl.bench.lab import lab_model, lab_prompts
from rollout.background import BackgroundLoop
from rollout.config import VllmConfig
from rollout.engine import SampleGroup, independently
from rollout.prompt_tokens import PromptTokens
from rollout.samplings import Request, StreamSettings
from rollout.stream import Judged, Stream
from rollout.trees.config import FallbackAt, TreeConfig
from rollout.trees.metrics import (
    distinct_answers,
    mixed_share,
    ngram_overlap,
    sampled_tokens_per_leaf,
    saved_share,
)
from rollout.trees.sampler import tree_sampling

if TYPE_CHECKING:
    from rollout.vllm.engine import VllmEngine

logger = logging.getLogger(__name__)

LAB, MAX_PROMPT_TOKENS, LIMIT = "long", 256, 1024
SEGMENT_TOKENS = 32
TREE = TreeConfig(
    segment_tokens=SEGMENT_TOKENS,
    depth=-(-LIMIT // SEGMENT_TOKENS),
    restart_at_once=True,
    fallback_at=FallbackAt.prompt,
)
"""One cache block of the CPU, since half of the answers end within five, and the fallback that
favours long responses least."""
NGRAM_TOKENS = 4


@dataclass(slots=True, kw_only=True)
class Contender:
    """One way to sample groups, and what it sampled in the rounds that count."""

    name: str
    sample_group: SampleGroup
    judged: list[Judged] = field(default_factory=list)
    prompts: PromptTokens = field(default_factory=PromptTokens)
    """Of all its requests, a path's tokens included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The engine and the verifier that both contenders share."""

    loop: BackgroundLoop
    engine: "VllmEngine"
    pool: WorkerPool
    prompts: Sequence[Prompt]
    group_size: int
    limit: int = LIMIT

    def tokens_per_leaf(self, contender: Contender, number: int) -> float:
        """Samples a group of each prompt; round 0 is not kept."""
        self.engine.prompt_tokens()
        judged = self._sampled(contender.sample_group, number)
        if number:
            contender.judged += judged
            contender.prompts.add(self.engine.prompt_tokens())
        per_leaf = sampled_tokens_per_leaf([each.group for each in judged])
        logger.info("round %d, %s: %.1f tokens per leaf", number, contender.name, per_leaf)
        return per_leaf

    def _sampled(self, sample_group: SampleGroup, number: int) -> list[Judged]:
        settings = StreamSettings(
            group_size=self.group_size, seed=number, groups_per_update=len(self.prompts)
        )
        stream = Stream(
            self.engine, MathVerifier(self.pool), lambda group, verdicts: True, self.loop, settings,
            sample_group=sample_group,
        )  # fmt: skip
        with closing(stream):
            stream.submit(
                Request(prompt=prompt, limit=self.limit, step=number) for prompt in self.prompts
            )
            return stream.next_batch(len(self.prompts), self.engine.weight_version)


def run(against: str, rounds: int = 8, num_prompts: int = 24, group_size: int = 8) -> Result:
    """Sampled tokens per leaf over those of `against` (independent), at equally many leaves."""
    from transformers import AutoTokenizer

    from rollout.vllm.start import start_engine

    tokenizer = AutoTokenizer.from_pretrained(lab_model(LAB))
    decode = partial(tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    trees = Contender(name="tree", sample_group=tree_sampling(TREE, decode))
    independent = Contender(name="independent", sample_group=independently)
    with ExitStack() as stack:
        loop = stack.enter_context(closing(BackgroundLoop()))
        engine = start_engine(
            VllmConfig(max_num_seqs=num_prompts * group_size),
            loop=loop,
            model_path=str(lab_model(LAB)),
            dtype="float32",
            max_model_tokens=MAX_PROMPT_TOKENS + LIMIT,
        )
        stack.callback(engine.shutdown)
        pool = WorkerPool(workers=1, timeout_seconds=5.0, memory_gib=4.0)
        stack.callback(lambda: loop.run(pool.close()))
        prompts = lab_prompts(LAB, num_prompts, MAX_PROMPT_TOKENS)
        bench = Bench(loop=loop, engine=engine, pool=pool, prompts=prompts, group_size=group_size)
        ours, theirs = alternate(
            partial(bench.tokens_per_leaf, trees),
            partial(bench.tokens_per_leaf, independent),
            rounds,
        )
    measured = paired_ratio(ours, theirs)
    logger.info("tree: %.3f of the tokens of independent completions", measured.ratio)
    tree = {name: getattr(value, "value", value) for name, value in asdict(TREE).items()}
    return Result(
        name="tree",
        against=against,
        **measured._asdict(),
        setting={
            "model": f"lab:{LAB}",
            "limit": LIMIT,
            "prompts": num_prompts,
            "leaves": group_size,
            "rounds": rounds,
            "tree": tree,
            "cores": os.cpu_count(),
        },
        extra={
            "diversity_ratio": diversity_ratio(trees.judged, independent.judged),
            "tree": described(trees),
            "independent": described(independent),
        },
    )


def diversity(judged: Sequence[Judged]) -> dict[str, float]:
    """Of groups: the share with right and wrong leaves, different answers, and new 4-grams.

    The last is 1 - |A and B| / |A or B| of two leaves' runs of four tokens, mean over pairs.
    """
    answers = [[boxed_answer(c.text) or "" for c in each.group.completions] for each in judged]
    overlap = fmean(ngram_overlap(each.group, NGRAM_TOKENS) for each in judged)
    return {
        "mixed_share": mixed_share([each.verdicts for each in judged]),
        "distinct_answers": distinct_answers(answers),
        "new_ngrams": 1 - overlap,
    }


def diversity_ratio(ours: Sequence[Judged], theirs: Sequence[Judged]) -> float:
    """The least of the three diversities' ratios: 1 where nothing is lost."""
    found, reference = diversity(ours), diversity(theirs)
    return min(found[name] / reference[name] for name in found)


def described(contender: Contender) -> dict[str, float]:
    """What a contender sampled: its diversity, lengths, accuracy over leaves, and cache hits."""
    groups = [each.group for each in contender.judged]
    figures = diversity(contender.judged) | {
        "leaf_tokens": fmean(length for group in groups for length in group.lengths),
        "saved_share": saved_share(groups),
        "accuracy": fmean(bool(v.correct) for each in contender.judged for v in each.verdicts),
        "prefix_cache_hit_rate": contender.prompts.cached_share,
    }
    return {name: round(value, 4) for name, value in figures.items()}
