"""DOT: where every completion of a group is right, the longest outliers are cut off.

A group is cut before dynamic sampling sees it: one that is all right would be dropped, one whose
outlier became an unfinished answer teaches. The score is then plain correctness.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor, sqrt
from statistics import fmean, stdev

from data.types import Completion, Finish, Group, SpanKind, TokenIds, Verdict
from rewards.correct import CorrectConfig, correct_reward
from rewards.protocols import Reward

Decode = Callable[[TokenIds], str]


@dataclass(kw_only=True)
class DotConfig(CorrectConfig):
    """`reward: dot`, the plain reward of groups whose outliers are cut."""

    num_stds: float = 3.0
    """How far beyond the mean length of its group an outlier begins (the paper's alpha)."""
    margin_tokens: int = 32
    """An outlier is cut when that makes it at least so much shorter (the paper's m)."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.num_stds <= 0:
            found.append(f"reward.num_stds={self.num_stds}: set it above 0; the paper takes 3")
        if self.margin_tokens < 1:
            found.append(f"reward.margin_tokens={self.margin_tokens}: set it to 1 or more")
        return found

    def problems_in_run(self, group_size: int, max_response_tokens: int) -> list[str]:
        if group_size >= smallest_group(self.num_stds):
            return []
        return [
            f"reward.num_stds={self.num_stds} with algorithm.group_size={group_size}: no length of "
            f"a group so small is more than {largest_z_score(group_size):.2f} standard deviations "
            "above its mean, so nothing would ever be cut; set algorithm.group_size>="
            f"{smallest_group(self.num_stds)} (the paper takes 32) or lower reward.num_stds"
        ]


def outlier_length(lengths: Sequence[int], num_stds: float) -> int:
    """T(q) = floor(mean n + alpha std n), std with Bessel's correction.

    DOT (arXiv:2601.03969), std as in the released code. Response tokens of one group [G], G >= 2.
    """
    return floor(fmean(lengths) + num_stds * stdev(lengths))


def largest_z_score(group_size: int) -> float:
    """(G - 1) / sqrt(G): how many std one of G values can lie above their mean, at most.

    It is reached when the others are equal; std with Bessel's correction.
    """
    return (group_size - 1) / sqrt(group_size)


def smallest_group(num_stds: float) -> int:
    """The smallest G with (G - 1) / sqrt(G) > alpha: a smaller group never has an outlier."""
    return floor(((num_stds + sqrt(num_stds**2 + 4)) / 2) ** 2) + 1


def cut_outliers(
    group: Group,
    verdicts: Sequence[Verdict],
    num_stds: float,
    margin_tokens: int,
    decode: Decode,
) -> tuple[Group, list[Verdict]]:
    """A group that is all right, each n_i >= T(q) + m cut to its first T(q) tokens and found wrong.

    DOT (arXiv:2601.03969). The paper grades the cut text again; here it is wrong without asking,
    as our verifiers find every truncated completion. Other groups stay as they are.
    """
    if not all(verdict.correct for verdict in verdicts):
        return group, list(verdicts)
    longest = outlier_length(group.lengths, num_stds)
    completions, judged = list(group.completions), list(verdicts)
    for i, length in enumerate(group.lengths):
        if length - longest >= margin_tokens:
            completions[i] = first_tokens(completions[i], longest, decode)
            judged[i] = replace(
                judged[i],
                correct=False,
                reason=f"an outlier of its group, cut from {length} tokens",
            )
    return replace(group, completions=tuple(completions)), judged


def first_tokens(completion: Completion, num_tokens: int, decode: Decode) -> Completion:
    """`completion` as if it had been launched with a limit of `num_tokens` sampled tokens."""
    stop = position_after(completion, num_tokens)
    token_ids = completion.token_ids[:stop]
    return replace(
        completion,
        text=decode(token_ids),
        token_ids=token_ids,
        logprobs=completion.logprobs[:stop],
        limit=num_tokens,
        finish=Finish.LIMIT,
        spans=tuple(
            replace(span, stop=min(span.stop, stop))
            for span in completion.spans
            if span.start < stop
        ),
    )


def position_after(completion: Completion, num_tokens: int) -> int:
    """Where the first `num_tokens` sampled tokens end, injected ones between them included."""
    sampled = [
        position
        for span in completion.spans
        if span.kind is SpanKind.SAMPLED
        for position in range(span.start, span.stop)
    ]
    return sampled[num_tokens - 1] + 1


def build_reward(config: DotConfig) -> Reward:
    """The plain reward; it is given groups that `cut_outliers` has revised."""
    return correct_reward
