"""Right answers to `path_expansion`, written in other ways than the reference."""

import torch


def paths_by_hand(model, tokens):
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    n_heads, x = model.cfg.n_heads, cache["embed"]
    ov = [[model.W_V[l, h] @ model.W_O[l, h] for h in range(n_heads)] for l in range(2)]  # noqa: E741
    a = [cache["pattern", 0][:, h] for h in range(n_heads)]
    b = [cache["pattern", 1][:, h] for h in range(n_heads)]
    paths = {}
    for j in range(n_heads):
        for i in range(n_heads):
            virtual = (b[j] @ a[i]) @ x @ ov[0][i] @ ov[1][j]
            paths[((0, i), (1, j))] = virtual @ model.W_U
        paths[((1, j),)] = b[j] @ x @ ov[1][j] @ model.W_U
        paths[((0, j),)] = a[j] @ x @ ov[0][j] @ model.W_U
    paths[()] = x @ model.W_U
    return paths


def paths_by_einsum_in_double(model, tokens):
    _, cache = model.run_with_cache(tokens)
    streams = [((), cache["embed"].double())]
    for layer in (0, 1):
        pattern = cache["pattern", layer].double()
        v = torch.stack([x for _, x in streams])
        z = torch.einsum("bhqk,sbkm,hmd->sbqhd", pattern, v, model.W_V[layer].double())
        out = torch.einsum("sbqhd,hdm->shbqm", z, model.W_O[layer].double())
        streams += [
            ((*path, (layer, head)), out[s, head])
            for s, (path, _) in enumerate(streams)
            for head in range(model.cfg.n_heads)
        ]
    return {path: x @ model.W_U.double() for path, x in streams}


RIGHT = [paths_by_hand, paths_by_einsum_in_double]
