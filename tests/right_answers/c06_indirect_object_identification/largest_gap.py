"""Right answers to `largest_gap`, written in other ways than the reference."""


def gap_with_a_while_loop(F, model_heads, circuit, steps):
    removed, widest = [], abs(F(circuit) - F(model_heads))
    while len(removed) < steps:
        best = None
        for head in sorted(circuit):
            if head in removed:
                continue
            gone = {*removed, head}
            gap = abs(F(circuit - gone) - F(model_heads - gone))
            if gap > widest:
                best, widest = head, gap
        if best is None:
            break
        removed.append(best)
    return removed


def gap_by_recursion(F, model_heads, circuit, steps):
    def distance(gone):
        return max(
            F(circuit - gone) - F(model_heads - gone), F(model_heads - gone) - F(circuit - gone)
        )

    def further(gone):
        left = sorted(circuit - set(gone))
        if len(gone) == steps or not left:
            return gone
        scored = sorted(((distance({*gone, head}), head) for head in left), reverse=True)
        return further((*gone, scored[0][1])) if scored[0][0] > distance(set(gone)) else gone

    return further(())


RIGHT = [gap_with_a_while_loop, gap_by_recursion]
