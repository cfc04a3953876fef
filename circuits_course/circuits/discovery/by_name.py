"""What senders say and where the metric's slope is, by name: for methods written by hand."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits_course.circuits.discovery.attributing import slopes_of
from circuits_course.circuits.discovery.edge_runs import Said, head_writes
from circuits_course.circuits.discovery.graph import Graph, Receiver, Sender
from circuits_course.circuits.padding import require_read_at_words
from circuits_course.circuits.patching.metrics import Metric, Tokens
from circuits_course.circuits.patching.stages import stages_of


@torch.no_grad()
def said_by(model: Any, tokens: Tokens) -> dict[Sender, Float[Tensor, "batch pos d_model"]]:
    """What every sender adds to the residual stream in a plain run.

    Senders in order, as in `edges_of`. Their sum is the last residual stream, less the biases of
    attention layers, which no head says.
    """
    stages = stages_of(model, tokens)
    said = Said.in_run(stages, tokens)
    found: dict[Sender, Tensor] = {"embed": said.embedded}
    for layer in range(stages.n_layers):
        writes = torch.einsum("bphd,hdm->hbpm", said.z[layer], head_writes(stages, layer))
        found |= {(layer, head): write for head, write in enumerate(writes)}
        if not getattr(model.cfg, "attn_only", False):
            found[layer, "mlp"] = said.mlp_out[layer]
    return found


def slopes_at(
    model: Any,
    tokens: Tokens,
    metric: Metric,
    embedded: Float[Tensor, "batch pos d_model"] | None = None,
) -> dict[Receiver, Float[Tensor, "batch pos d_model"]]:
    """The gradient of the metric at what every receiver reads, from one backward pass.

    By how much the metric changes if the receiver alone hears a small step more. embedded: what
    stands in the place of the tokens' embeddings (default: they themselves). Receivers in order.

    Raises CourseError where the metric is read at padding.
    """
    require_read_at_words(model, tokens, metric)
    graph, stages = Graph.of(model), stages_of(model, tokens)
    embedded = stages.embed(tokens) if embedded is None else embedded
    slopes = slopes_of(stages, graph, tokens, metric, embedded.detach())
    return dict(zip(graph.receivers, slopes, strict=True))
