"""A small transformer to read from top to bottom: one class per concept, TransformerLens' names.

Attention-only and without norm by default, so that the logits are *exactly* the sum of paths
(Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"). Positions enter the input
of queries and keys only, never the residual stream (Press et al. 2020, "Shortformer"): what a head
moves is token information alone. MLP, norm and smeared keys are options of `CourseConfig`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens import ActivationCache, FactoredMatrix, HookedRootModule
from transformer_lens.hook_points import HookPoint

from circuits_course.errors import CourseError, UnknownName
from circuits_course.models.config import CourseConfig
from circuits_course.models.layers import Block, Embed, PosEmbed, Unembed, norm_of, sinusoids


class CourseTransformer(HookedRootModule):
    """The course's model: embed, blocks, unembed, with a hook on every step.

    Weights are drawn from `cfg.seed`; `CourseTransformer.blank(cfg)` has all weights zero, to be
    filled by hand. Starts in eval mode. Hook names, weight names and shapes are TransformerLens',
    so that `run_with_cache`, `ActivationCache`, `patching`, `detect_head`, ... take it as a model.
    """

    cfg: CourseConfig

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed, self.pos_embed, self.unembed = Embed(cfg), PosEmbed(cfg), Unembed(cfg)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_layers))
        self.ln_final = norm_of(cfg)
        self.hook_embed = HookPoint()  # [batch, pos, d_model]
        self.hook_qk_pos = HookPoint()  # [pos, d_model], what queries and keys add to their input
        self.facts: dict[str, Any] = {}  # of a shipped model: recipe, scores, planted truth
        self._token_of = {symbol: token for token, symbol in enumerate(cfg.vocabulary)}
        self._draw_weights()
        self.setup()
        self.eval()

    @classmethod
    def blank(cls, cfg: CourseConfig) -> CourseTransformer:
        """A model whose weights are all zero: the canvas for circuits written by hand."""
        model = cls(cfg)
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()
        return model

    @torch.no_grad()
    def _draw_weights(self) -> None:
        generator = torch.Generator().manual_seed(self.cfg.seed)
        for weight in self.parameters():
            if weight.ndim > 1:  # biases and smearing start at zero
                weight.copy_(self.cfg.init_std * torch.randn(weight.shape, generator=generator))
        self.pos_embed.W_pos.copy_(sinusoids(self.cfg.n_ctx, self.cfg.d_model))

    @torch.no_grad()
    def set_head(self, layer: int, head: int, **weights: Float[Tensor, "rows columns"]) -> None:
        """Write one head by hand: W_Q, W_K, W_V [d_model, d_head], W_O [d_head, d_model]."""
        attn = cast(Block, self.blocks[layer]).attn
        for name, value in weights.items():
            if name not in ("W_Q", "W_K", "W_V", "W_O"):
                raise UnknownName("weight of a head", name, ["W_Q", "W_K", "W_V", "W_O"])
            slot = getattr(attn, name)[head]
            if value.shape != slot.shape:
                raise CourseError(
                    f"{name} of one head is {list(slot.shape)}; got {list(value.shape)}."
                )
            slot.copy_(value)

    # -- running ---------------------------------------------------------------------------------

    def forward(
        self,
        input: str | Sequence[str] | Tensor,
        return_type: str | None = "logits",
        *,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        loss_per_token: bool = False,
        prepend_bos: bool | None = None,
    ) -> Any:
        """Logits [batch, pos, d_vocab], or "loss" (mean next-token cross-entropy, nats), or "both".

        `input` is text, tokens [batch, pos], or, with `start_at_layer`, a residual stream
        [batch, pos, d_model]. With `stop_at_layer` the residual stream entering that layer comes
        back. return_type=None computes no logits.
        """
        tokens = None if start_at_layer is not None else self._as_tokens(input, prepend_bos)
        resid = cast(Tensor, input) if tokens is None else self.hook_embed(self.embed(tokens))
        positions = self.hook_qk_pos(self.pos_embed(resid.shape[1]))
        for block in self.blocks[slice(start_at_layer, stop_at_layer)]:
            resid = block(resid, positions)
        if stop_at_layer is not None:
            return resid
        if return_type is None:
            return None
        logits = self.unembed(self.ln_final(resid))
        return self._answer(logits, tokens, return_type, loss_per_token)

    def _answer(
        self, logits: Tensor, tokens: Tensor | None, return_type: str, per_token: bool
    ) -> Any:
        if return_type == "logits":
            return logits
        if return_type not in ("loss", "both"):
            raise UnknownName("return type", return_type, ["logits", "loss", "both"])
        if tokens is None:
            raise CourseError("A loss needs tokens; with start_at_layer ask for logits instead.")
        loss = self.loss_fn(logits, tokens, per_token)
        return loss if return_type == "loss" else (logits, loss)

    def loss_fn(
        self,
        logits: Float[Tensor, "batch pos d_vocab"],
        tokens: Int[Tensor, "batch pos"],
        per_token: bool = False,
    ) -> Float[Tensor, ""] | Float[Tensor, "batch pos_minus_1"]:
        """Next-token cross-entropy in nats: the mean, or one value per predicted token."""
        predicted = logits[:, :-1].transpose(1, 2)  # [batch, pos-1, vocab] -> [batch, vocab, pos-1]
        reduction = "none" if per_token else "mean"
        return nn.functional.cross_entropy(predicted, tokens[:, 1:], reduction=reduction)

    def run_with_cache(
        self,
        *args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache | dict[str, Tensor]]:
        """The output and every activation, as an `ActivationCache` (or a plain dict)."""
        output, cache = super().run_with_cache(*args, remove_batch_dim=remove_batch_dim, **kwargs)
        if not return_cache_object:
            return output, cache
        return output, ActivationCache(cache, cast(Any, self), has_batch_dim=not remove_batch_dim)

    def set_use_attn_result(self, use: bool) -> None:
        """Compute and hook each head's own write to the residual stream (`hook_result`)."""
        self.cfg.use_attn_result = use

    def set_use_split_qkv_input(self, use: bool) -> None:
        """Give each head its own, hooked input for queries, keys and values."""
        self.cfg.use_split_qkv_input = use

    def set_use_hook_mlp_in(self, use: bool) -> None:
        """Give the MLP its own, hooked copy of the residual stream."""
        self.cfg.use_hook_mlp_in = use

    # -- weights ---------------------------------------------------------------------------------

    def _stack(self, name: str) -> Tensor:
        return torch.stack([getattr(cast(Block, block).attn, name) for block in self.blocks])

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        return self.embed.W_E

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        return self.pos_embed.W_pos

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, " d_vocab"]:
        return self.unembed.b_U

    @property
    def W_Q(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stack("W_Q")

    @property
    def W_K(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stack("W_K")

    @property
    def W_V(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stack("W_V")

    @property
    def W_O(self) -> Float[Tensor, "layer head d_head d_model"]:
        return self._stack("W_O")

    @property
    def QK(self) -> FactoredMatrix:
        """[layer, head, d_model, d_model]: row = query side, column = key side."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """[layer, head, d_model, d_model]: row = what is read, column = what is written."""
        return FactoredMatrix(self.W_V, self.W_O)

    def accumulated_bias(
        self,
        layer: int,
        mlp_input: bool = False,  # noqa: ARG002 (heads have no bias to add before an MLP)
        include_mlp_biases: bool = True,
    ) -> Float[Tensor, " d_model"]:
        """Sum of the constant writes before `layer`; only MLPs have any."""
        bias = torch.zeros(self.cfg.d_model)
        if include_mlp_biases and not self.cfg.attn_only:
            bias = sum((cast(Block, b).mlp.b_out for b in self.blocks[:layer]), bias)
        return bias

    # -- tokens ----------------------------------------------------------------------------------

    def _as_tokens(self, input: Any, prepend_bos: bool | None = None) -> Int[Tensor, "batch pos"]:
        tokens = input if isinstance(input, Tensor) else self.to_tokens(input, prepend_bos)
        tokens = tokens[None] if tokens.ndim == 1 else tokens  # [pos] -> [1, pos]
        if tokens.shape[1] > self.cfg.n_ctx:
            raise CourseError(
                f"{tokens.shape[1]} tokens are more than this model's n_ctx of {self.cfg.n_ctx}; "
                "shorten the sequence."
            )
        return tokens

    def _split(self, text: str) -> list[str]:
        one_glyph = all(len(symbol) == 1 for symbol in self.cfg.vocabulary[1:])
        return [c for c in text if not c.isspace()] if one_glyph else text.split()

    def to(self, *args: Any, **kwargs: Any) -> CourseTransformer:
        """As of any module; `cfg.device` follows, which TransformerLens' tools read."""
        super().to(*args, **kwargs)
        self.cfg.device = str(self.embed.W_E.device)
        return self

    def to_tokens(
        self, input: str | Sequence[str], prepend_bos: bool | None = None
    ) -> Int[Tensor, "batch pos"]:
        """Text to tokens: one per character, or per word where the vocabulary is made of words."""
        prepend = self.cfg.default_prepend_bos if prepend_bos is None else prepend_bos
        texts = [input] if isinstance(input, str) else list(input)
        rows = [[0] * prepend + [self.to_single_token(s) for s in self._split(t)] for t in texts]
        if len({len(row) for row in rows}) > 1:
            raise CourseError(
                f"The texts have {sorted({len(row) for row in rows})} tokens; a batch of this "
                "model needs equal lengths."
            )
        return torch.tensor(rows, dtype=torch.int64, device=self.cfg.device)

    def to_single_token(self, symbol: str) -> int:
        """The token of one symbol; spaces around it do not matter."""
        token = self._token_of.get(symbol.strip())
        if token is None:
            raise UnknownName("symbol in this model's vocabulary", symbol, self.cfg.vocabulary)
        return token

    def to_single_str_token(self, token: int) -> str:
        return self.cfg.vocabulary[token]

    def to_str_tokens(
        self, input: str | Sequence[str] | Tensor, prepend_bos: bool | None = None
    ) -> list[str] | list[list[str]]:
        """The symbols of one sequence, or a list of them per sequence of a batch."""
        tokens = self._as_tokens(input, prepend_bos)
        rows = [[self.cfg.vocabulary[token] for token in row] for row in tokens.tolist()]
        return rows[0] if len(rows) == 1 else rows

    def to_string(self, tokens: Int[Tensor, " pos"]) -> str:
        """The text of one sequence."""
        one_glyph = all(len(symbol) == 1 for symbol in self.cfg.vocabulary[1:])
        return ("" if one_glyph else " ").join(cast(list[str], self.to_str_tokens(tokens)))

    def tokens_to_residual_directions(
        self, tokens: str | int | Int[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch d_model"]:
        """The direction of the residual stream that raises each token's logit: a column of W_U."""
        tokens = self.to_single_token(tokens) if isinstance(tokens, str) else tokens
        return self.W_U.T[tokens]
