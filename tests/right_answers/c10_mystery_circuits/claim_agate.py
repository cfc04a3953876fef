"""Right answers to `claim_agate`, written in other ways than the reference."""

import torch

from circuits_course.mystery import Claim, load_mystery, true_claim


def agate_by_mapping():
    model = load_mystery("agate").model
    prompts = load_mystery("agate").sample(12, seed=5)
    texts = ["".join(model.to_str_tokens(row[None])[1:]) for row in prompts]
    says = {text: model.to_str_tokens(text)[-2] for text in texts}
    truth = true_claim(load_mystery("agate"))
    return Claim("agate", truth.heads, truth.edges, truth.algorithm, predictions=says)


def agate_with_tuples():
    truth = true_claim(load_mystery("agate"))
    heads = {role: tuple(found) for role, found in truth.heads.items()}
    return Claim(
        mystery="agate",
        heads=heads,
        edges=tuple(truth.edges),
        algorithm=truth.algorithm,
        predictions=lambda symbols: ["?", *symbols][-2],
    )


def agate_with_lists_and_tensors():
    truth = true_claim(load_mystery("agate"))
    heads = {role: [list(head) for head in found] for role, found in truth.heads.items()}
    edges = [[torch.tensor(sender).unbind(), receiver] for sender, receiver in truth.edges]
    return Claim("agate", heads, edges, truth.algorithm, lambda symbols: symbols[len(symbols) - 2])


RIGHT = [agate_by_mapping, agate_with_tuples, agate_with_lists_and_tensors]
