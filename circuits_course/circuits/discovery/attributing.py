"""Attribution to edges: all of them estimated from gradients.

EAP (Syed et al. 2023, arXiv 2310.10348) takes one gradient, in the clean run; EAP-IG (Hanna et al.
2024, arXiv 2403.17806) averages it over inputs on the way from the corrupted embedding to the clean
one, so that a softmax that is saturated at one end still shows.

`transformer_lens.tools.analysis.attribution_patching` (4.3) has plain attribution to nodes and
edges, and agrees where both can be asked. It takes its gradient in the corrupted run (exchange the
prompts to compare), has an edge for every position (sum over them), works prompt by prompt, refuses
grouped keys, and does not integrate yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.discovery.edge_runs import Said, head_writes
from circuits_course.circuits.discovery.graph import Edge, Graph, Sender
from circuits_course.circuits.patching.attribution import gradients_at
from circuits_course.circuits.patching.metrics import (
    Metric,
    Tokens,
    require_pair,
)
from circuits_course.circuits.patching.stages import Run, Stages, stages_of
from circuits_course.circuits.patching.tail import chunks
from circuits_course.data.logit_difference import LogitDifference
from circuits_course.errors import CourseError

AT_ONCE = 100_000_000  # numbers held for senders and receivers of the prompts worked on at once
LEAVES = ("resid_pre", "q", "k", "v", "z", "attn_out", "mlp_out")


def edge_attribution(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
) -> dict[Edge, float]:
    """EAP: the estimated change of the metric when one edge at a time carries the corrupted value.

    (the sender's corrupted output - its clean output) . gradient of the metric at the receiver's
    input, in the clean run: two runs and one backward pass for all edges. An estimate of
    `edge_effects`, whose arguments these are. A `LogitDifference` is worked through in parts of the
    batch; any other metric needs all prompts at once.

    Raises CourseError for shapes that do not fit.
    """
    return _attribution(model, clean, corrupted, metric, [1.0])


def integrated_edge_attribution(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
    steps: int = 5,
) -> dict[Edge, float]:
    """EAP-IG: `edge_attribution` with the gradient averaged over `steps` inputs.

    The inputs are z' + k/steps (z - z') for k = 1 ... steps, with z and z' the clean and the
    corrupted embeddings (Hanna et al. 2024, equation 3); a backward pass for each. One step is EAP.

    Raises CourseError for shapes that do not fit and for fewer than one step.
    """
    if steps < 1:
        raise CourseError(f"Integrating takes at least one step; got {steps}.")
    points = [step / steps for step in range(1, steps + 1)]
    return _attribution(model, clean, corrupted, metric, points)


def node_attribution(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
) -> dict[Sender, float]:
    """The estimated change of the metric when one sender is corrupted for all that hear it.

    `attribution_patch(..., mode="noising")` of heads and MLPs, with the embedding beside them.
    """
    require_pair(model, clean, clean if corrupted is None else corrupted, metric)
    graph, stages = Graph.of(model), stages_of(model, clean)
    totals = torch.zeros(len(graph.senders))
    for rows, part, weight in _parts(metric, clean, graph, stages):
        other = _other(stages, clean[rows], None if corrupted is None else corrupted[rows])
        run, gradients = gradients_at(stages, clean[rows], part, ("resid_pre", "z", "mlp_out"))
        totals += weight * _node_changes(graph, run, gradients, other)
    return dict(zip(graph.senders, totals.tolist(), strict=True))


def _node_changes(
    graph: Graph, run: Run, gradients: dict[str, list[Tensor]], other: Said
) -> Float[Tensor, " sender"]:
    found = [((other.embedded - run.resid_pre[0]) * gradients["resid_pre"][0]).sum()[None]]
    for layer in range(len(run.z)):
        found.append(((other.z[layer] - run.z[layer]) * gradients["z"][layer]).sum((0, 1, 3)))
        if (layer, "mlp") in graph.sender_index:
            step = other.mlp_out[layer] - run.mlp_out[layer]
            found.append((step * gradients["mlp_out"][layer]).sum()[None])
    return torch.cat(found).detach()


# --- edges ------------------------------------------------------------------------------------


def _attribution(
    model: Any,
    clean: Tokens,
    corrupted: Tokens | None,
    metric: Metric | LogitDifference,
    points: Sequence[float],
) -> dict[Edge, float]:
    require_pair(model, clean, clean if corrupted is None else corrupted, metric)
    graph, stages = Graph.of(model), stages_of(model, clean)
    table = torch.zeros(len(graph.receivers), len(graph.senders))
    for rows, part, weight in _parts(metric, clean, graph, stages):
        other = _other(stages, clean[rows], None if corrupted is None else corrupted[rows])
        table += weight * _table(stages, graph, clean[rows], other, part, points)
    return graph.scores(table)


@torch.no_grad()
def _other(stages: Stages, clean: Tokens, corrupted: Tokens | None) -> Said:
    said = Said.in_run(stages, clean if corrupted is None else corrupted)
    return Said.nothing(stages, said) if corrupted is None else said


def _table(
    stages: Stages,
    graph: Graph,
    clean: Tokens,
    other: Said,
    metric: Metric | LogitDifference,
    points: Sequence[float],
) -> Float[Tensor, "receiver sender"]:
    with torch.no_grad():
        present = Said.in_run(stages, clean)
        steps = _steps(stages, graph, present, other)
    slopes = torch.zeros(len(graph.receivers), *present.embedded.shape)
    for point in points:
        embedded = torch.lerp(other.embedded, present.embedded, point)
        slopes += slopes_of(stages, graph, clean, metric, embedded)
    return slopes.flatten(1) @ steps.flatten(1).T / len(points)


def _steps(
    stages: Stages, graph: Graph, present: Said, other: Said
) -> Float[Tensor, "sender batch pos d_model"]:
    """From each sender's clean output to its corrupted one."""
    steps = torch.empty(len(graph.senders), *present.embedded.shape)
    steps[0], n = other.embedded - present.embedded, 1
    for layer in range(stages.n_layers):
        z = other.z[layer] - present.z[layer]
        steps[n : n + stages.n_heads] = torch.einsum(
            "bphd,hdm->hbpm", z, head_writes(stages, layer)
        )
        n += stages.n_heads
        if (layer, "mlp") in graph.sender_index:
            steps[n] = other.mlp_out[layer] - present.mlp_out[layer]
            n += 1
    return steps


def slopes_of(
    stages: Stages,
    graph: Graph,
    clean: Tokens,
    metric: Metric | LogitDifference,
    embedded: Float[Tensor, "batch pos d_model"],
) -> Float[Tensor, "receiver batch pos d_model"]:
    """The gradient of the metric at every receiver's own input.

    One backward pass gives it at queries, keys, values and MLP outputs; from there to the inputs,
    through norms and projections, it goes layer by layer, which holds little at a time.
    """
    run, gradients = gradients_at(stages, clean, metric, LEAVES, embedded)
    slopes = torch.empty(len(graph.receivers), *embedded.shape)
    slopes[-1] = gradients["resid_final"][0]
    for layer in range(stages.n_layers):
        resid = run.resid_pre[layer].detach()
        upon = [gradients[letter][layer] for letter in "qkv"]
        slopes[graph.within_layer(layer)] = _through_projections(stages, layer, resid, upon)
        row = graph.receiver_index.get((layer, "mlp"))
        if row is not None:
            heard = stages.mlp_reads(resid, run.attn_out[layer].detach()).requires_grad_()
            with torch.enable_grad():
                added = stages.mlp_adds(layer, heard)
            slopes[row] = torch.autograd.grad(added, heard, gradients["mlp_out"][layer])[0]
    return slopes


def _through_projections(
    stages: Stages, layer: int, resid: Tensor, upon: list[Tensor]
) -> Float[Tensor, "receiver batch pos d_model"]:
    """From gradients at queries, keys and values to gradients at what each head's one reads."""
    inputs = [
        resid[:, :, None].expand(-1, -1, at.shape[2], -1).clone().requires_grad_() for at in upon
    ]
    with torch.enable_grad():
        outputs = stages.split_qkv(layer, *inputs)
    found = torch.autograd.grad(list(outputs), inputs, upon)
    return torch.cat(found, dim=2).movedim(2, 0)


def _parts(
    metric: Metric | LogitDifference, clean: Tokens, graph: Graph, stages: Stages
) -> Iterator[tuple[slice, Metric | LogitDifference, float]]:
    """Rows to be worked on at once, the metric on them, and their share of all rows."""
    if not isinstance(metric, LogitDifference):
        yield slice(None), metric, 1.0
        return
    W_U, _ = stages.unembedding()
    each = (len(graph.senders) + len(graph.receivers)) * clean.shape[1] * len(W_U)
    for rows in chunks(len(clean), max(1, AT_ONCE // each)):
        position = torch.as_tensor(metric.position).expand(len(clean))[rows]
        part = LogitDifference(metric.right[rows], metric.wrong[rows], position)
        yield rows, part, (rows.stop - rows.start) / len(clean)
