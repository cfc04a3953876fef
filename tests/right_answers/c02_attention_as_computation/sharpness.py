"""Right answers to `sharpness`, written in other ways than the reference."""

import math

import numpy as np
import torch


def sharpness_of_odds(n_keys, share):
    return float(np.log(share) - np.log1p(-share) + np.log(n_keys - 1))


def sharpness_as_tensor(n_keys, share):
    return torch.logit(torch.tensor(share)) + math.log(n_keys - 1)


RIGHT = [sharpness_of_odds, sharpness_as_tensor]
