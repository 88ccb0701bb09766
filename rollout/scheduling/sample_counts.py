"""How many samples each prompt of a step deserves, when their total is given.

A group whose answers are all right or all wrong teaches nothing, so samples are spent where the
outcome is most uncertain.
"""

from collections.abc import Sequence

from rollout.rounding import largest_remainder


def sample_counts(pass_rates: Sequence[float], total: int, *, least: int, most: int) -> list[int]:
    """n_i = least + (total - P least) v_i / sum v, v_i = p_i (1 - p_i), and n_i <= most.

    Our own rule: v is the variance of a 0/1 reward whose mean is the prompt's pass rate p [P]. What
    a prompt may not take goes to the others in the same proportion, to all alike when no variance
    is left. Whole numbers by the largest remainder (the first of equal ones), so that their sum is
    `total`. Raises ValueError when that sum is not possible.
    """
    if not least * len(pass_rates) <= total <= most * len(pass_rates):
        raise ValueError(
            f"total={total}: {len(pass_rates)} prompts with {least} to {most} samples each take "
            f"{least * len(pass_rates)} to {most * len(pass_rates)}"
        )
    variances = [rate * (1 - rate) for rate in pass_rates]
    shares = capped_shares(variances, total - least * len(pass_rates), most - least)
    return [least + extra for extra in largest_remainder(shares)]


def capped_shares(weights: Sequence[float], amount: float, cap: float) -> list[float]:
    """Shares of `amount` in proportion to `weights` [P], none above `cap`.

    What is above the cap is shared out among the others; they share alike when none has a weight.
    """
    shares = [0.0] * len(weights)
    open_to_more = list(range(len(weights)))
    while open_to_more and amount > 0:
        total = sum(weights[i] for i in open_to_more)
        parts = {i: weights[i] / total if total else 1 / len(open_to_more) for i in open_to_more}
        above = [i for i in open_to_more if amount * parts[i] >= cap]
        for i in above or open_to_more:
            shares[i] = cap if above else amount * parts[i]
        if not above:
            break
        amount -= cap * len(above)
        open_to_more = [i for i in open_to_more if i not in above]
    return shares
