"""Right answers to `ov_circuit`, written in other ways than the reference."""

import torch
from transformer_lens import FactoredMatrix


def ov_by_keyword(W_V, W_O):
    return FactoredMatrix(A=W_V, B=W_O)


def ov_turned(W_V, W_O):
    turn = torch.linalg.qr(torch.randn(W_V.shape[-1], W_V.shape[-1]))[0]
    return FactoredMatrix(W_V @ turn, turn.mT @ W_O)


RIGHT = [ov_by_keyword, ov_turned]
