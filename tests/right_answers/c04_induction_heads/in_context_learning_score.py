"""Right answers to `in_context_learning_score`, written in other ways than the reference."""

import numpy as np


def context_by_index(loss, early=50, late=500):
    return (loss[..., late] - loss[..., early]).mean().item()


def context_per_sequence(loss, early=50, late=500):
    return loss.double()[..., late - 1] - loss.double()[..., early - 1]


def context_of_means(loss, early=50, late=500):
    mean = loss.reshape(-1, loss.shape[-1]).mean(dim=0).numpy()
    return np.float64(mean[late - 1]) - np.float64(mean[early - 1])


RIGHT = [context_by_index, context_per_sequence, context_of_means]
