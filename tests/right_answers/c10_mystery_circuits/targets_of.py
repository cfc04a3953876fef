"""Right answers to `targets_of`, written in other ways than the reference."""

import torch


def targets_in_loops(tokens):
    batch, n = tokens.shape
    names = ("induction", "duplicate token", "first token", "previous token")
    masks = {name: torch.zeros(batch, n, n, dtype=torch.bool) for name in names}
    for b in range(batch):
        for q in range(n):
            for k in range(1, q + 1):
                masks["previous token"][b, q, k] = q - k == 1
                masks["first token"][b, q, k] = k == 1
                masks["duplicate token"][b, q, k] = k < q and tokens[b, k] == tokens[b, q]
                masks["induction"][b, q, k] = k > 1 and tokens[b, k - 1] == tokens[b, q]
    return masks


def targets_by_diagonals(tokens):
    n = tokens.shape[1]
    ones = torch.ones(len(tokens), n, n, dtype=torch.bool)
    seen = ones.tril()
    seen[..., 0] = False
    same = torch.eq(tokens.unsqueeze(2), tokens.unsqueeze(1))
    after = torch.zeros_like(same)
    after[..., 2:] = same[..., 1:-1]
    first = torch.zeros_like(same)
    first[..., 1] = True
    return {
        "previous token": seen & ones.triu(-1) & ones.tril(-1),
        "first token": first & seen,
        "duplicate token": same & seen.tril(-1),
        "induction": after & seen,
    }


def targets_as_numbers(tokens):
    return {role: mask.long() for role, mask in targets_in_loops(tokens).items()}


RIGHT = [targets_in_loops, targets_by_diagonals, targets_as_numbers]
