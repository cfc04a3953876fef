"""Right answers to `qk_circuit`, written in other ways than the reference."""

from transformer_lens import FactoredMatrix


def qk_by_mt(W_Q, W_K):
    return FactoredMatrix(W_Q, W_K.mT)


def qk_in_double(W_Q, W_K):
    return FactoredMatrix(A=W_Q.double(), B=W_K.double().swapaxes(-1, -2))


def qk_with_other_factors(W_Q, W_K):
    return FactoredMatrix(2 * W_Q, 0.5 * W_K.transpose(-1, -2))


RIGHT = [qk_by_mt, qk_in_double, qk_with_other_factors]
