"""Two logic gates as transformers, written by hand: what patching sees of each is known exactly.

One layer, two heads and an MLP with one neuron. At the last position head 0.0 looks at the first
bit and writes it along one direction, head 0.1 the second along another; the neuron makes AND or
OR of them. Heimersheim and Nanda 2024 (arXiv 2404.15255) explain by such gates why denoising and
noising find different components.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from circuits_course.errors import UnknownName
from circuits_course.models.config import BOS_SYMBOL, CourseConfig
from circuits_course.models.transformer import CourseTransformer

Gate = Literal["and", "or"]
GATES = ("and", "or")
VOCABULARY = (BOS_SYMBOL, "0", "1", "=")
LOGITS = 10.0  # between the answers "1" and "0"; a gate says half of it, with either sign
LOOK = 30.0  # score of the key a head looks at, against 0 for all others

BIT, FIRST, SECOND, YES, NO, PLACE = range(6)  # directions of the residual stream


def gate_model(gate: Gate) -> CourseTransformer:
    """A model that reads two bits, as in "10=", and answers "0" or "1" at the last position.

    gate: "and" or "or". Logit of "1" minus logit of "0" is 5 where the answer is 1 and -5 where it
    is 0. Raises UnknownName for another gate.
    """
    if gate not in GATES:
        raise UnknownName("gate", gate, GATES)
    n_ctx = len(VOCABULARY)
    cfg = CourseConfig(
        n_layers=1,
        n_heads=2,
        d_model=PLACE + n_ctx,
        d_head=1,
        d_vocab=len(VOCABULARY),
        n_ctx=n_ctx,
        d_mlp=1,
        vocabulary=VOCABULARY,
        model_name=f"{gate}-gate",
    )
    model = CourseTransformer.blank(cfg).requires_grad_(False)
    model.W_E[VOCABULARY.index("1"), BIT] = 1.0
    model.W_E[VOCABULARY.index("="), NO] = 0.5
    model.W_pos[:, PLACE:] = torch.eye(n_ctx)
    model.W_U[YES, VOCABULARY.index("1")] = LOGITS
    model.W_U[NO, VOCABULARY.index("0")] = LOGITS
    for head, writes in enumerate((FIRST, SECOND)):
        _write_head(model, head, looks_at=1 + head, writes=writes)
    _write_gate(model, gate)
    return model


def _write_head(model: CourseTransformer, head: int, looks_at: int, writes: int) -> None:
    """A head that at the last position moves the bit that stands at `looks_at`."""
    d_model, last = model.cfg.d_model, model.cfg.n_ctx - 1
    W_Q, W_K, W_V = torch.zeros(3, d_model, 1)
    W_O = torch.zeros(1, d_model)
    W_Q[PLACE + last], W_K[PLACE + looks_at] = LOOK, 1.0
    W_V[BIT], W_O[:, writes] = 1.0, 1.0
    model.set_head(0, head, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)


def _write_gate(model: CourseTransformer, gate: Gate) -> None:
    """One neuron: AND is relu(a + b - 1); OR is 1 - relu(1 - a - b)."""
    mlp: Any = model.blocks[0]
    mlp, sign = mlp.mlp, 1.0 if gate == "and" else -1.0
    mlp.W_in[[FIRST, SECOND], 0] = sign
    mlp.b_in[0] = -sign
    mlp.W_out[0, YES] = sign
    if gate == "or":
        mlp.b_out[YES] = 1.0
