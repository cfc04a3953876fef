"""Right answers to `smear_keys`, written in other ways than the reference."""

import math

import torch
from einops import rearrange


def smear_by_cat(k, alpha):
    share = torch.sigmoid(alpha)[None, None, :, None]
    rest = share * k[:, 1:] + (1.0 - share) * k[:, :-1]
    return torch.cat((k[:, :1], rest), dim=1)


def smear_by_padding(k, alpha):
    before = torch.cat([k[:, :1], k[:, :-1]], dim=1).double()
    share = rearrange(alpha.double().sigmoid(), "head -> head 1")
    return before + share * (k.double() - before)


def smear_by_loop(k, alpha):
    result = torch.empty_like(k)
    for h, a in enumerate(alpha.tolist()):
        s = 1 / (1 + math.exp(-a))
        for j in range(k.shape[1]):
            result[:, j, h] = k[:, j, h] if j == 0 else s * k[:, j, h] + (1 - s) * k[:, j - 1, h]
    return result


RIGHT = [smear_by_cat, smear_by_padding, smear_by_loop]
