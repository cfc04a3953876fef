"""What several right answers of the chapter use."""

import torch

from circuits_course.circuits import HeadWeights


def turned(head, seed=0):
    """The same head with its inner dimensions rotated: no entry stays, the behaviour does."""

    def rotation(size):
        generator = torch.Generator().manual_seed(seed)
        return torch.linalg.qr(torch.randn(size, size, generator=generator)).Q

    inner, outer = rotation(head.W_Q.shape[1]), rotation(head.W_V.shape[1])
    return HeadWeights(head.W_Q @ inner, head.W_K @ inner, head.W_V @ outer, outer.T @ head.W_O)


def route_by_key(basis, offset):
    """The shift in the keys, everything else in one matrix product."""
    n = basis.n_ctx
    shift = torch.diag_embed(torch.ones(n - offset), offset)  # key k answers query k + offset
    W_K = basis.position.T @ shift
    return turned(HeadWeights(200 * basis.position.T, W_K, 5 * basis.token.T, basis.out))
