"""Right answers to `minimality`, written in other ways than the reference."""


def minimal_by_sets(F, circuit, head, removed=()):
    return abs(F(set(circuit) - set(removed)) - F(set(circuit) - set(removed) - {head}))


def minimal_by_union(F, circuit, head, removed=None):
    gone = set(removed or ())
    with_head, without = F(circuit - gone), F(circuit - (gone | {head}))
    return max(with_head, without) - min(with_head, without)


RIGHT = [minimal_by_sets, minimal_by_union]
