"""Right answers to `edges_of`, written in other ways than the reference."""

from itertools import product


def by_filter(model):
    """All pairs, less those that run backwards."""
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    senders = ["embed", *product(range(n_layers), range(n_heads))]
    receivers = [
        (layer, head, part) for layer, part, head in product(range(n_layers), "qkv", range(n_heads))
    ]

    def depth(node):
        return -1 if node == "embed" else n_layers if node == "logits" else node[0]

    return [(s, r) for r in [*receivers, "logits"] for s in senders if depth(s) < depth(r)]


def layer_by_layer(model):
    found, speaking = [], ("embed",)
    for layer in range(model.cfg.n_layers):
        heads = range(model.cfg.n_heads)
        for part in ("q", "k", "v"):
            for head in heads:
                for sender in speaking:
                    found.append((sender, (layer, head, part)))
        speaking = speaking + tuple((layer, head) for head in heads)
    for sender in speaking:
        found.append((sender, "logits"))
    return tuple(found)


RIGHT = [by_filter, layer_by_layer]
