"""Right answers to `virtual_ov`, written in other ways than the reference."""

from transformer_lens import FactoredMatrix


def virtual_by_factors(head_a, head_b):
    return FactoredMatrix(head_a.W_V @ (head_a.W_O @ head_b.W_V), head_b.W_O)


def virtual_by_full_product(head_a, head_b):
    return FactoredMatrix(head_a.W_V @ head_a.W_O, head_b.OV.AB)


RIGHT = [virtual_by_factors, virtual_by_full_product]
