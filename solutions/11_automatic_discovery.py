"""Reference answers of chapter 11, Automatic discovery."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits import discovery
from circuits_course.circuits.discovery import said_by, slopes_at

Tokens = Int[Tensor, "batch pos"]
Stream = Float[Tensor, "batch pos d_model"]


def edges_of(model) -> list[tuple]:
    """Every edge (sender, receiver) of the graph of a model without MLPs.

    Senders: "embed", then every head (layer, head). Receivers: (layer, head, "q"), (layer, head,
    "k"), (layer, head, "v") of every head, and "logits". An edge leads from each sender to each
    receiver that comes after it. Heads of one layer run side by side: none hears another.

    In order of receivers: layer by layer, in each first all queries, then all keys, then all
    values; the logits last. For each receiver the senders in their order.
    """
    layers, heads = range(model.cfg.n_layers), range(model.cfg.n_heads)
    edges = []
    # BEGIN BLANK
    senders = ["embed"]
    for layer in layers:
        receivers = [(layer, head, part) for part in "qkv" for head in heads]
        edges += [(sender, receiver) for receiver in receivers for sender in senders]
        senders += [(layer, head) for head in heads]
    edges += [(sender, "logits") for sender in senders]
    # END BLANK
    return edges


def head_says(
    model, layer: int, head: int, into_q: Stream, into_k: Stream, into_v: Stream
) -> Stream:
    """What a head writes when its queries, keys and values read three different streams.

    The model has no norm. Positions (model.W_pos) are added to what queries and keys read, not to
    what values read. Scores are divided by model.cfg.attn_scale; no query sees what comes after it.
    """
    n_pos = into_q.shape[1]
    place = model.W_pos[:n_pos]
    future = torch.ones(n_pos, n_pos, dtype=torch.bool).triu(1)  # [query, key]
    # BEGIN BLANK
    q = (into_q + place) @ model.W_Q[layer, head]
    k = (into_k + place) @ model.W_K[layer, head]
    v = into_v @ model.W_V[layer, head]
    scores = q @ k.mT / model.cfg.attn_scale
    pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
    # END BLANK
    return pattern @ v @ model.W_O[layer, head]


def run_with_edges(
    model, clean: Tokens, corrupted: Tokens, kept: list[tuple]
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits when the kept edges carry what their senders say now, all others the corrupted run.

    "Now" is this very run: what a sender says follows from what it hears. `other` has what every
    sender says in the corrupted run, as {sender: [batch, pos, d_model]}, "embed" among them.
    """
    kept, other = set(kept), said_by(model, corrupted)
    now = {"embed": said_by(model, clean)["embed"]}

    def heard(receiver) -> Stream:
        """What a receiver reads: the sum of what the senders before it say."""
        # BEGIN BLANK
        terms = [now[s] if (s, receiver) in kept else other[s] for s in now]
        # END BLANK
        return torch.stack(terms).sum(0)

    for layer in range(model.cfg.n_layers):
        written = {}
        for head in range(model.cfg.n_heads):
            # BEGIN BLANK
            streams = [heard((layer, head, part)) for part in "qkv"]
            written[layer, head] = head_says(model, layer, head, *streams)
            # END BLANK
        now |= written  # from here on the layer's heads are heard
    return heard("logits") @ model.W_U + model.b_U


def acdc(model, clean: Tokens, corrupted: Tokens, metric, threshold: float) -> list[tuple]:
    """The edges that are left when each in turn is tried, from the logits back, and cut if it can.

    Conmy et al. 2023 (arXiv 2304.14997, algorithm 1), with a distance in the metric's units: a
    circuit is as far away as its metric is from the clean run's. An edge is cut for good if cutting
    it takes the circuit that is left further away by less than `threshold`. Edges are tried from
    the last of `edges_of` to the first. Returned in the order of `edges_of`.
    """
    whole = metric(model(clean))

    def away(edges: list[tuple]) -> float:
        """How far the metric of these edges is from that of the whole model."""
        return float((metric(run_with_edges(model, clean, corrupted, edges)) - whole).abs())

    left = edges_of(model)
    now = away(left)
    for edge in reversed(edges_of(model)):
        # BEGIN BLANK
        without = [other for other in left if other != edge]
        then = away(without)
        if then - now < threshold:
            left, now = without, then
        # END BLANK
    return left


def edge_attribution(model, clean: Tokens, corrupted: Tokens, metric) -> dict[tuple, float]:
    """EAP: for every edge, the estimated change of the metric when it carries the corrupted value.

    Syed et al. 2023 (arXiv 2310.10348): the sender's step from clean to corrupted, times the slope
    of the metric at what the receiver reads, in the clean run. said_by(model, tokens) has what each
    sender says, slopes_at(model, tokens, metric) the slope at each receiver; both by name, as
    [batch, pos, d_model].
    """
    clean_says, corrupted_says = said_by(model, clean), said_by(model, corrupted)
    slopes = slopes_at(model, clean, metric)
    scores = {}
    for sender, receiver in edges_of(model):
        # BEGIN BLANK
        step = corrupted_says[sender] - clean_says[sender]
        scores[sender, receiver] = float((step * slopes[receiver]).sum())
        # END BLANK
    return scores


def integrated_edge_attribution(
    model, clean: Tokens, corrupted: Tokens, metric, steps: int = 5
) -> dict[tuple, float]:
    """EAP-IG: `edge_attribution` with slopes averaged along the way from corrupted to clean.

    Hanna et al. 2024 (arXiv 2403.17806): the slopes are taken in `steps` runs on embeddings that
    lie k / steps of the way from the corrupted to the clean ones, k = 1 ... steps; the last is the
    clean run. slopes_at(model, clean, metric, embedded) runs on embeddings [batch, pos, d_model].
    """
    clean_says, corrupted_says = said_by(model, clean), said_by(model, corrupted)
    # BEGIN BLANK
    start, way = corrupted_says["embed"], clean_says["embed"] - corrupted_says["embed"]
    runs = [slopes_at(model, clean, metric, start + k / steps * way) for k in range(1, steps + 1)]
    slopes = {receiver: sum(run[receiver] for run in runs) / steps for receiver in runs[0]}
    # END BLANK
    return {
        (sender, receiver): float(
            ((corrupted_says[sender] - clean_says[sender]) * slopes[receiver]).sum()
        )
        for sender, receiver in edges_of(model)
    }


def precision_recall(found: list[tuple], planted: list[tuple]) -> tuple[float, float]:
    """Of what was found, the share that is planted; of what is planted, the share that was found.

    Of nothing found, precision is 0. An edge that is listed twice counts once.
    """
    found, planted = set(found), set(planted)
    # BEGIN BLANK
    both = len(found & planted)
    # END BLANK
    return (both / len(found) if found else 0.0), both / len(planted)


def faithfulness_curve(
    model,
    clean: Tokens,
    corrupted: Tokens,
    metric,
    scores: dict[tuple, float],
    sizes: list[int],
) -> list[float]:
    """How much of the metric the strongest edges bring back, for circuits of these sizes.

    (metric of the circuit - metric of the corrupted run) / (clean run - corrupted run): 0 is the
    corrupted run, 1 the clean one. scores: the estimated change for every edge; a large change
    downwards is as strong as one upwards. A circuit keeps its edges and corrupts all others.
    """
    low, high = metric(model(corrupted)), metric(model(clean))
    # BEGIN BLANK
    ranked = sorted(scores, key=lambda edge: -abs(scores[edge]))
    runs = [run_with_edges(model, clean, corrupted, ranked[:size]) for size in sizes]
    # END BLANK
    return [float((metric(logits) - low) / (high - low)) for logits in runs]


def area_under(shares: list[float], values: list[float]) -> float:
    """The area under straight lines from point to point: the sum of trapezoids.

    shares: where the points are, in order, not evenly spaced. values: how high they are.
    """
    area = 0.0
    # BEGIN BLANK
    for i in range(1, len(shares)):
        area += (shares[i] - shares[i - 1]) * (values[i] + values[i - 1]) / 2
    # END BLANK
    return area


def my_discovery(model, task) -> list[tuple]:
    """Your own method: the edges between heads, and from heads to the logits, of a planted circuit.

    task: `task.clean`, `task.corrupted`, `task.metric`, as every engine takes them:
    discovery.edge_effects(model, *task). Edges from "embed" are not counted, right or wrong. You
    may spend as much arithmetic as 40 runs of the model on `task.clean`; trying every edge takes
    more.
    """
    # BEGIN BLANK
    estimates = discovery.edge_attribution(model, *task)
    between = {edge: x for edge, x in estimates.items() if edge[0] != "embed"}
    suspects = discovery.strongest_edges(between, 30)
    effects = discovery.edge_effects(model, *task, edges=suspects)
    gap = float(task.metric(model(task.clean)) - task.metric(model(task.corrupted)))
    edges = [edge for edge, change in effects.items() if abs(change) > 0.05 * gap]
    # END BLANK
    return edges
