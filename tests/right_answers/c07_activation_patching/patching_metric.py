"""Right answers to `patching_metric`, written in other ways than the reference."""

import torch

from circuits_course.data import LogitDifference


def metric_by_gather(logits, clean, corrupted, right=None, wrong=None):
    if right is None:
        right = clean[:, -1].topk(1).indices[:, 0]
    if wrong is None:
        wrong = corrupted[:, -1].topk(1).indices[:, 0]
    pair = torch.stack([right, wrong], -1)
    means = []
    for run in (corrupted, clean, logits):
        a, b = run[:, -1].gather(-1, pair).double().unbind(-1)
        means.append((a - b).mean())
    return (means[2] - means[0]) / (means[1] - means[0])


def metric_by_log_probabilities(logits, clean, corrupted, right=None, wrong=None):
    right = clean[:, -1].argmax(-1) if right is None else right
    wrong = corrupted[:, -1].argmax(-1) if wrong is None else wrong
    metric = LogitDifference(wrong, right)  # the sign cancels, as does the normaliser
    low, high = metric(corrupted.log_softmax(-1)), metric(clean.log_softmax(-1))
    return (metric(logits.log_softmax(-1)) - low) / (high - low)


def metric_by_loops(logits, clean, corrupted, *answers, right=None, wrong=None):
    right, wrong = answers or (right, wrong)
    sums = [0.0, 0.0, 0.0]
    for i in range(len(logits)):
        r = int(clean[i, -1].argmax()) if right is None else int(right[i])
        w = int(corrupted[i, -1].argmax()) if wrong is None else int(wrong[i])
        for j, run in enumerate((logits, clean, corrupted)):
            sums[j] = sums[j] + run[i, -1, r] - run[i, -1, w]
    return (sums[0] - sums[2]) / (sums[1] - sums[2])


RIGHT = [metric_by_gather, metric_by_log_probabilities, metric_by_loops]
