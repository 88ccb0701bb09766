"""How far a draft model is from the policy that verifies its drafts, per token, not averaged.

Both models' logits are those of one context, divided by the sampling temperature. p is the policy's
distribution, which never gets a gradient, q the draft model's.
"""

from collections.abc import Callable

from torch import Tensor

from rl.config import DraftObjective

SMALLEST_DEVIATION = 1e-6
"""Of a reward between 0 and 1: what is smaller is taken for this, so that 0 / 0 is 0."""

DraftLoss = Callable[[Tensor, Tensor], Tensor]
"""From the draft model's logits [N, V] and the policy's [N, V] to a loss per token [N]."""


def forward_kl(draft: Tensor, policy: Tensor) -> Tensor:
    """KL(p || q) = sum_x p(x) (log p(x) - log q(x)), in nats.

    Online Speculative Decoding (arXiv:2310.07177), its default: the draft model covers all that the
    policy may say. Logits [N, V]; loss [N].
    """
    log_p, log_q = policy.detach().log_softmax(dim=-1), draft.log_softmax(dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def reverse_kl(draft: Tensor, policy: Tensor) -> Tensor:
    """KL(q || p) = sum_x q(x) (log q(x) - log p(x)), in nats.

    Online Speculative Decoding (arXiv:2310.07177): the draft model keeps to what the policy is
    likely to say. Logits [N, V]; loss [N].
    """
    log_p, log_q = policy.detach().log_softmax(dim=-1), draft.log_softmax(dim=-1)
    return (log_q.exp() * (log_q - log_p)).sum(dim=-1)


def tvd_plus_plus(draft: Tensor, policy: Tensor) -> Tensor:
    """-sum_x q(x) A(x), A = (r - mean r) / std r, r(x) = 1{p(x) > q(x)}; its value is always 0.

    TVD++ of Direct Alignment (arXiv:2403.00858): the gradient of the total variation distance is a
    policy gradient with reward r, and the advantage is normalised. Here the expectation over x is
    exact where the paper samples, and mean and deviation are those under q at the position. So the
    gradient is that of the distance over std r, its absolute values sum to 2 std r <= 1, and it is
    0 where q is p. Logits [N, V]; loss [N].
    """
    p, q = policy.detach().softmax(dim=-1), draft.softmax(dim=-1)
    held = q.detach()
    reward = (p > held).to(q.dtype)
    mean = (held * reward).sum(dim=-1, keepdim=True)
    deviation = (held * (reward - mean) ** 2).sum(dim=-1, keepdim=True).sqrt()
    advantage = (reward - mean) / deviation.clamp(min=SMALLEST_DEVIATION)
    return -(q * advantage).sum(dim=-1)


def acceptance(draft: Tensor, policy: Tensor) -> Tensor:
    """sum_x min(p(x), q(x)) = 1 - TV(p, q): the chance that a token drawn from q is accepted.

    Of the ratio test (arXiv:2211.17192, corollary 3.6). Logits [N, V]; chance [N].
    """
    return policy.softmax(dim=-1).minimum(draft.softmax(dim=-1)).sum(dim=-1)


DRAFT_LOSSES: dict[DraftObjective, DraftLoss] = {
    DraftObjective.forward_kl: forward_kl,
    DraftObjective.reverse_kl: reverse_kl,
    DraftObjective.tvd_plus_plus: tvd_plus_plus,
}
