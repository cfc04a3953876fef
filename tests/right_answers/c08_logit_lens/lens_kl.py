"""Right answers to `lens_kl`, written in other ways than the reference."""

import torch


def kl_by_torch(logits):
    log_q = logits.log_softmax(-1)
    kl = torch.nn.functional.kl_div(
        log_q, log_q[-1].expand_as(log_q), reduction="none", log_target=True
    )
    return kl.sum(-1)


def kl_by_distributions(logits):
    p = torch.distributions.Categorical(logits=logits[-1].double().expand_as(logits))
    return torch.distributions.kl_divergence(
        p, torch.distributions.Categorical(logits=logits.double())
    )


def kl_from_probabilities(logits):
    q = logits.double().softmax(-1)
    return (q[-1] * (q[-1] / q).log()).sum(-1)


RIGHT = [kl_by_torch, kl_by_distributions, kl_from_probabilities]
