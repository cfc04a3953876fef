"""Right answers to `smallest_cuts`, written in other ways than the reference."""

from itertools import chain, combinations

from circuits_course.circuits import ablate


def _kl(p, q):
    p, q = p.double().log_softmax(-1), q.double().log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def cuts_by_growing(model, tokens, share, mode="mean"):
    """Sets grow by one head at a time; found ones are kept as sets of lists."""
    heads = [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
    whole = model(tokens)
    everything = _kl(whole, ablate(model, tokens, heads, mode=mode))
    growing = {frozenset([head]) for head in heads}
    while growing:
        lost = {one: _kl(whole, ablate(model, tokens, one, mode=mode)) for one in growing}
        cuts = [sorted(one) for one, loss in lost.items() if loss / everything >= share]
        if cuts:
            return cuts
        growing = {one | {head} for one in growing for head in heads if head not in one}
    return []


def cuts_by_all_sets(model, tokens, share, mode="mean"):
    """All sets of all sizes in one go; the first hit decides the size."""
    heads = [(la, h) for la in range(model.cfg.n_layers) for h in range(model.cfg.n_heads)]
    whole = model(tokens)
    everything = _kl(whole, ablate(model, tokens, heads, mode=mode))
    cuts = []
    for chosen in chain.from_iterable(combinations(heads, n + 1) for n in range(len(heads))):
        if cuts and len(chosen) > len(cuts[0]):
            break
        if _kl(whole, ablate(model, tokens, chosen, mode=mode)) >= share * everything:
            cuts.append(chosen)
    return cuts


RIGHT = [cuts_by_growing, cuts_by_all_sets]
