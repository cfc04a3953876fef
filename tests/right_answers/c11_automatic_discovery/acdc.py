"""Right answers to `acdc`, written in other ways than the reference."""

from circuits_course.circuits.discovery import Edge, EdgeRuns, edges_of, run_with_edges


def by_set(model, clean, corrupted, metric, threshold):
    whole, circuit = metric(model(clean)), set(edges_of(model))

    def off(edges):
        return abs(metric(run_with_edges(model, clean, corrupted, edges)) - whole)

    for edge in edges_of(model)[::-1]:
        if off(circuit - {edge}) - off(circuit) < threshold:
            circuit.remove(edge)
    return list(circuit)


def put_back(model, clean, corrupted, metric, threshold):
    """Cuts, and puts back what cost too much."""
    runs, left = EdgeRuns(model, clean, corrupted), dict.fromkeys(edges_of(model))
    whole = runs.score(left, metric)
    before = 0.0
    for edge in sorted(left, key=list(left).index, reverse=True):
        del left[edge]
        after = float(abs(runs.score(left, metric) - whole))
        if after - before >= threshold:
            left[edge] = None
        else:
            before = after
    return [Edge(*edge) for edge in left]


RIGHT = [by_set, put_back]
