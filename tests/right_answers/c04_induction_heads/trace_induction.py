"""Right answers to `trace_induction`, written in other ways than the reference."""

import torch

from circuits_course.circuits import InductionTrace

from .shared import find_by_list, find_by_topk


def trace_as_dict(model, prompt):
    tokens = model.to_tokens(prompt)[0].tolist()
    earlier = max(i for i in range(len(tokens) - 1) if tokens[i] == tokens[-1])
    logits, cache = model.run_with_cache(prompt)
    heads = find_by_topk(model)
    return {
        "token": model.to_str_tokens(prompt)[-1],
        "earlier": earlier,
        "followed_by": model.to_str_tokens(prompt)[earlier + 1],
        "predicted": model.cfg.vocabulary[logits[0, -1].topk(1).indices.item()],
        "to_earlier": {(i, j): cache["pattern", i][0, j, -1, earlier] for i, j in heads},
        "to_next": {(i, j): cache["pattern", i][0, j, -1, earlier + 1] for i, j in heads},
    }


def trace_backwards(model, prompt):
    tokens = model.to_tokens(prompt)
    last = tokens.shape[1] - 1
    earlier = last - 1
    while tokens[0, earlier] != tokens[0, last]:
        earlier -= 1
        if earlier < 0:
            raise ValueError("It has not occurred before.")
    logits, cache = model.run_with_cache(tokens)
    attention = {}
    for layer, head in find_by_list(model):
        attention[layer, head] = cache["attn", layer].double()[0, head, last]
    strings = model.to_str_tokens(tokens)
    guess = model.to_single_str_token(logits.softmax(-1)[0, last].argmax().item())
    return InductionTrace(
        strings[last],
        torch.tensor(earlier),
        strings[earlier + 1],
        guess,
        {head: float(row[earlier]) for head, row in attention.items()},
        {head: float(row[earlier + 1]) for head, row in attention.items()},
    )


RIGHT = [trace_as_dict, trace_backwards]
