"""Right answers to `path_importance`, written in other ways than the reference."""

import torch


def importance_by_rebuilding(paths, tokens):
    def loss(kept):
        logits = torch.stack(kept).sum(0)[:, :-1]
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:])

    whole = loss(list(paths.values()))
    return {
        name: loss([value for other, value in paths.items() if other != name]) - whole
        for name in paths
    }


def importance_by_probabilities(paths, tokens):
    total = sum(value.double() for value in paths.values())

    def loss(logits):
        probs = logits.softmax(-1)
        terms = [
            -probs[row, pos, tokens[row, pos + 1]].log()
            for row in range(tokens.shape[0])
            for pos in range(tokens.shape[1] - 1)
        ]
        return (sum(terms) / len(terms)).item()

    before = loss(total)
    out = {}
    for name, value in paths.items():
        out[name] = loss(total - value) - before
    return out


RIGHT = [importance_by_rebuilding, importance_by_probabilities]
