"""Right answers to `mean_and_error`, written in other ways than the reference."""

import statistics

import numpy as np


def error_by_statistics(values):
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5


def error_by_numpy(values):
    array = np.array(values)
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(array.size))


RIGHT = [error_by_statistics, error_by_numpy]
