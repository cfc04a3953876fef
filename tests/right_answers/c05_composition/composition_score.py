"""Right answers to `composition_score`, written in other ways than the reference."""

import torch

from .shared import score_by_transformer_lens


def score_by_traces(kind, source, target):
    def squared(*factors):
        product = factors[0].double()
        for factor in factors[1:]:
            product = product @ factor.double()
        return torch.trace(product.mT @ product)

    if kind == "V":
        read = target.W_V, target.W_O
    else:
        read = (target.W_Q, target.W_K.T) if kind == "Q" else (target.W_K, target.W_Q.T)
    write = source.W_V, source.W_O
    return (squared(*write, *read) / squared(*write) / squared(*read)) ** 0.5


def score_in_the_papers_order(kind, source, target):
    written = source.OV.AB.T
    read = target.OV.AB.T if kind == "V" else target.QK.AB.T if kind == "Q" else target.QK.AB
    norm = torch.linalg.matrix_norm
    return float(norm(read @ written) / (norm(read) * norm(written)))


RIGHT = [score_by_transformer_lens, score_by_traces, score_in_the_papers_order]
