"""From the options of tree sampling to the functions that they choose."""

from functools import partial

from data.types import Finish
from rollout.continuation import Decode
from rollout.trees.config import Divergence, FallbackAt, FallbackFrom, TreeConfig
from rollout.trees.divergence import (
    Deal,
    as_held,
    last_mean_logprob,
    mean_logprob,
    to_likely,
    to_unlikely,
    total_logprob,
)
from rollout.trees.ending import TextTests, closed_box, finish_by_text, repeats
from rollout.trees.fallback import (
    Candidates,
    Cut,
    all_leaves,
    at_prompt,
    at_random,
    before_likely,
    before_unlikely,
    ended_leaves,
    longest_leaves,
)
from rollout.trees.state import Growth

CANDIDATES: dict[FallbackFrom, Candidates] = {
    FallbackFrom.ended: ended_leaves,
    FallbackFrom.all: all_leaves,
    FallbackFrom.longest: longest_leaves,
}
CUTS: dict[FallbackAt, Cut] = {
    FallbackAt.random: at_random,
    FallbackAt.prompt: at_prompt,
    FallbackAt.unlikely: before_unlikely,
    FallbackAt.likely: before_likely,
}


def growth_of(config: TreeConfig, decode: Decode) -> Growth:
    """How trees grow under `config`; `decode` gives the text that ends are looked for in."""
    return Growth(
        segment_tokens=config.segment_tokens,
        depth=config.depth,
        first_divergence=(config.first_divergence_least, config.first_divergence_most),
        divergence=(config.divergence_least, config.divergence_most),
        deal=deals(config.divergence_temperature)[config.divergence],
        restart_at_once=config.restart_at_once,
        candidates=CANDIDATES[config.fallback_from],
        cut=CUTS[config.fallback_at],
        ending=partial(finish_by_text, tests=text_tests(config), decode=decode),
    )


def deals(temperature: float) -> dict[Divergence, Deal]:
    """Every rule to deal leaves by its name."""
    unlikely = partial(to_unlikely, temperature=temperature)
    likely = partial(to_likely, temperature=temperature)
    return {
        Divergence.even: as_held,
        Divergence.unlikely: partial(unlikely, score=total_logprob),
        Divergence.likely: partial(likely, score=total_logprob),
        Divergence.unlikely_mean: partial(unlikely, score=mean_logprob),
        Divergence.likely_mean: partial(likely, score=mean_logprob),
        Divergence.unlikely_segment: partial(unlikely, score=last_mean_logprob),
        Divergence.likely_segment: partial(likely, score=last_mean_logprob),
    }


def text_tests(config: TreeConfig) -> TextTests:
    """The answer is looked for first: a response that states it in a loop has answered."""
    answer: TextTests = {closed_box: Finish.STOP} if config.stop_at_answer else {}
    loop: TextTests = {repeats: Finish.REPETITION} if config.stop_at_repetition else {}
    return {**answer, **loop}
