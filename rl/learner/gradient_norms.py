"""How far each response would move the output matrix: the per-prompt measure of GVM."""

import torch
from torch import Tensor

from rl.learner.logprobs import filtered_logits


def output_gradient_norms(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    rows: Tensor,
    temperature: float,
    top_p: float,
    chunk: int,
) -> Tensor:
    """|| d sum_t log pi(y_t) / dW ||_F of every row [B], W the output matrix [V, H].

    GVM (arXiv:2505.02391, em/stage_2_calc_acceptRates_grads.py) takes the gradient of a response's
    summed log-prob by one parameter tensor, the embedding. By the output matrix it needs no
    backward pass: it is sum_t (onehot(y_t) - softmax_t) h_t^T / temperature. `hidden` [N, H],
    `targets` [N] and `rows` [N] are those of all response tokens. Memory is that of one such
    matrix and of `chunk` positions' logits.
    """
    norms = torch.zeros(int(rows.max()) + 1, device=hidden.device)
    gradient = torch.zeros(weight.shape, device=hidden.device)
    for row in range(len(norms)):
        gradient.zero_()
        for part in torch.nonzero(rows == row)[:, 0].split(chunk):
            logits = filtered_logits(hidden[part] @ weight.T, targets[part], temperature, top_p)
            by_logits = logits.softmax(dim=-1).neg_()
            by_logits.scatter_add_(1, targets[part, None], torch.ones_like(by_logits[:, :1]))
            gradient.addmm_(by_logits.T, hidden[part].float())
        norms[row] = torch.linalg.vector_norm(gradient) / temperature
    return norms
