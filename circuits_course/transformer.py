"""A small transformer to read from top to bottom: one class per concept, TransformerLens' names.

Attention-only and without norm by default, so that the logits are *exactly* the sum of paths
(Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"). Positions enter the input
of queries and keys only, never the residual stream (Press et al. 2020, "Shortformer"): what a head
moves is token information alone. MLP, norm and smeared keys are options of `CourseConfig`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from string import ascii_letters, digits
from typing import Any, cast

import torch
from einops import einsum, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens import ActivationCache, FactoredMatrix, HookedRootModule
from transformer_lens.hook_points import HookPoint

from circuits_course.errors import CourseError, UnknownName

BOS = "BOS"


def default_vocabulary(d_vocab: int) -> tuple[str, ...]:
    """BOS as token 0, then symbols of one glyph: a-z, A-Z, 0-9, "-", then further letters."""
    more = (chr(code) for code in chain(range(0x100, 0x250), range(0x4E00, 0x9FFF)))
    return (BOS, *islice(chain(ascii_letters, digits, "-", more), d_vocab - 1))


@dataclass
class CourseConfig:
    """Sizes and options of a `CourseTransformer`; the names are TransformerLens'.

    d_mlp=None leaves the MLP out; normalization_type is None or "LNPre" (centre, scale, no
    gain); smeared_keys lets each head mix a key with its left neighbour's. `vocabulary` names
    the tokens; token 0 is the beginning of the sequence.
    """

    n_layers: int = 2
    n_heads: int = 4
    d_model: int = 64
    d_head: int = 16
    d_vocab: int = 64
    n_ctx: int = 64
    d_mlp: int | None = None
    act_fn: str = "relu"
    normalization_type: str | None = None
    smeared_keys: bool = False
    eps: float = 1e-5
    init_std: float = 0.1
    seed: int = 0
    vocabulary: tuple[str, ...] = ()
    model_name: str = "course-transformer"

    # What TransformerLens' tools read or switch; not part of the architecture.
    use_attn_result: bool = field(default=False, compare=False)
    use_split_qkv_input: bool = field(default=False, compare=False)
    use_attn_in: bool = field(default=False, compare=False)
    use_hook_mlp_in: bool = field(default=False, compare=False)
    n_key_value_heads: None = None
    positional_embedding_type: str = "shortformer"
    default_prepend_bos: bool = True
    device: str = field(default="cpu", compare=False)
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        self.vocabulary = tuple(self.vocabulary) or default_vocabulary(self.d_vocab)
        if len(self.vocabulary) != self.d_vocab:
            raise CourseError(
                f"The vocabulary names {len(self.vocabulary)} tokens but d_vocab is "
                f"{self.d_vocab}; make them equal."
            )
        if self.normalization_type not in (None, "LNPre"):
            raise UnknownName("normalization type", self.normalization_type, ["None", "LNPre"])

    @property
    def attn_only(self) -> bool:
        return self.d_mlp is None

    @property
    def attn_scale(self) -> float:
        """Scores are divided by this: sqrt(d_head)."""
        return self.d_head**0.5

    @property
    def d_vocab_out(self) -> int:
        return self.d_vocab


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


class Embed(nn.Module):
    """Look up each token's row of W_E [d_vocab, d_model]."""

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        self.W_E = _parameter(cfg.d_vocab, cfg.d_model)

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_E[tokens]


class PosEmbed(nn.Module):
    """One vector per position, W_pos [n_ctx, d_model], for the input of queries and keys."""

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        self.W_pos = _parameter(cfg.n_ctx, cfg.d_model)

    def forward(self, n_pos: int) -> Float[Tensor, "pos d_model"]:
        return self.W_pos[:n_pos]


def sinusoids(n_ctx: int, d_model: int) -> Float[Tensor, "n_ctx d_model"]:
    """Where W_pos starts: sines and cosines whose wavelengths span the context.

    A fixed offset is then a rotation (Vaswani et al. 2017), the same one at every position, so a
    head that has learned to look one token back in one place does so everywhere.
    """
    slowest = 2 * torch.pi / (10 * n_ctx)  # radians per position
    frequencies = torch.logspace(0, math.log10(slowest), (d_model + 1) // 2)
    angles = torch.arange(n_ctx)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :d_model]


class Unembed(nn.Module):
    """Project the residual stream onto the vocabulary: W_U [d_model, d_vocab].

    b_U is 0 here; in a real model it holds what folding the final norm leaves.
    """

    b_U: Tensor

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        self.W_U = _parameter(cfg.d_model, cfg.d_vocab)
        self.register_buffer("b_U", torch.zeros(cfg.d_vocab), persistent=False)

    def forward(
        self, resid: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_vocab"]:
        return resid @ self.W_U + self.b_U


class LayerNormPre(nn.Module):
    """Centre and divide by the standard deviation; gain and bias live in the next weights."""

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.hook_scale = HookPoint()  # [batch, pos, 1]
        self.hook_normalized = HookPoint()  # [batch, pos, d_model]

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        return self.hook_normalized(x / scale)


def _norm(cfg: CourseConfig) -> nn.Module:
    return LayerNormPre(cfg) if cfg.normalization_type else nn.Identity()


def smear(
    k: Float[Tensor, "batch pos head d_head"], alpha: Float[Tensor, " head"]
) -> Float[Tensor, "batch pos head d_head"]:
    """k_j <- s k_j + (1 - s) k_{j-1} with s = sigmoid(alpha) per head; the first key stays.

    Olsson et al. 2022, "In-context Learning and Induction Heads", section on smeared keys.
    """
    s = alpha.sigmoid()[:, None]  # [head, 1], broadcast over batch and pos
    smeared = s * k[:, 1:] + (1 - s) * k[:, :-1]
    return torch.cat([k[:, :1], smeared], dim=1)


class Attention(nn.Module):
    """Multi-head attention as a sum of heads, without biases.

    W_Q, W_K, W_V: [head, d_model, d_head]; W_O: [head, d_head, d_model].
    """

    causal_mask: Tensor

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        self.cfg = cfg
        into_head = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.W_K, self.W_V = (_parameter(*into_head) for _ in range(3))
        self.W_O = _parameter(cfg.n_heads, cfg.d_head, cfg.d_model)
        self.alpha = _parameter(cfg.n_heads) if cfg.smeared_keys else None
        future = torch.ones(cfg.n_ctx, cfg.n_ctx, dtype=torch.bool).triu(1)
        self.register_buffer("causal_mask", future, persistent=False)
        self.hook_q_input = HookPoint()  # [batch, pos, head, d_model], if cfg.use_split_qkv_input
        self.hook_k_input = HookPoint()  # the same; all three before norm and positions
        self.hook_v_input = HookPoint()
        self.hook_q = HookPoint()  # [batch, pos, head, d_head]
        self.hook_k = HookPoint()  # [batch, pos, head, d_head], before smearing
        self.hook_v = HookPoint()  # [batch, pos, head, d_head]
        self.hook_attn_scores = HookPoint()  # [batch, head, q, k], masked
        self.hook_pattern = HookPoint()  # [batch, head, q, k]
        self.hook_z = HookPoint()  # [batch, pos, head, d_head]
        self.hook_result = HookPoint()  # [batch, pos, head, d_model], if cfg.use_attn_result

    @property
    def QK(self) -> FactoredMatrix:
        """[head, d_model, d_model]: row = query side, column = key side."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """[head, d_model, d_model]: row = what is read at the source, column = what is written."""
        return FactoredMatrix(self.W_V, self.W_O)

    def forward(
        self,
        query_input: Float[Tensor, "batch pos *head d_model"],
        key_input: Float[Tensor, "batch pos *head d_model"],
        value_input: Float[Tensor, "batch pos *head d_model"],
    ) -> Float[Tensor, "batch pos d_model"]:
        q = self.hook_q(_into_heads(query_input, self.W_Q))
        k = self.hook_k(_into_heads(key_input, self.W_K))
        v = self.hook_v(_into_heads(value_input, self.W_V))
        pattern = self.hook_pattern(self.hook_attn_scores(self.scores(q, k)).softmax(-1))
        z = einsum(pattern, v, "batch head q k, batch k head d_head -> batch q head d_head")
        return self.write(self.hook_z(z))

    def scores(
        self, q: Float[Tensor, "batch pos head d_head"], k: Float[Tensor, "batch pos head d_head"]
    ) -> Float[Tensor, "batch head q k"]:
        """Scaled dot products; -inf where the key lies in the future of the query."""
        if self.alpha is not None:
            k = smear(k, self.alpha)
        q = q / self.cfg.attn_scale  # the same as scaling the scores, on a smaller tensor
        scores = einsum(q, k, "batch q head d_head, batch k head d_head -> batch head q k")
        n_pos = scores.shape[-1]
        future = self.causal_mask[:n_pos, :n_pos]  # [q, k], broadcast over batch and head
        return scores.masked_fill_(future, -torch.inf)

    def write(
        self, z: Float[Tensor, "batch pos head d_head"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """What all heads together add to the residual stream."""
        if not self.cfg.use_attn_result:
            return einsum(
                z, self.W_O, "batch pos head d_head, head d_head d_model -> batch pos d_model"
            )
        result = einsum(
            z, self.W_O, "batch pos head d_head, head d_head d_model -> batch pos head d_model"
        )
        return self.hook_result(result).sum(dim=2)  # -> [batch, pos, d_model]


def _into_heads(
    x: Float[Tensor, "batch pos *head d_model"], W: Float[Tensor, "head d_model d_head"]
) -> Float[Tensor, "batch pos head d_head"]:
    """One shared input for all heads, or one per head where the inputs were split."""
    head = "head " if x.ndim == 4 else ""
    return einsum(x, W, f"batch pos {head}d_model, head d_model d_head -> batch pos head d_head")


class MLP(nn.Module):
    """W_in [d_model, d_mlp], b_in, a nonlinearity, W_out [d_mlp, d_model], b_out."""

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        d_mlp = cast(int, cfg.d_mlp)
        self.W_in, self.b_in = _parameter(cfg.d_model, d_mlp), _parameter(d_mlp)
        self.W_out, self.b_out = _parameter(d_mlp, cfg.d_model), _parameter(cfg.d_model)
        self.act_fn = getattr(nn.functional, cfg.act_fn)
        self.hook_pre = HookPoint()  # [batch, pos, d_mlp]
        self.hook_post = HookPoint()  # [batch, pos, d_mlp]

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        post = self.hook_post(self.act_fn(self.hook_pre(x @ self.W_in + self.b_in)))
        return post @ self.W_out + self.b_out


class Block(nn.Module):
    """One layer: attention, and an MLP if there is one, each adding to the residual stream."""

    hook_out_is_single_residual_stream = True  # what TransformerLens' logit lens asks

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.ln1, self.attn = _norm(cfg), Attention(cfg)
        self.hook_resid_pre = HookPoint()  # [batch, pos, d_model]
        self.hook_attn_out = HookPoint()  # [batch, pos, d_model]
        self.hook_resid_post = HookPoint()  # [batch, pos, d_model]
        if not cfg.attn_only:
            self.ln2, self.mlp = _norm(cfg), MLP(cfg)
            self.hook_resid_mid = HookPoint()  # [batch, pos, d_model]
            self.hook_mlp_in = HookPoint()  # [batch, pos, d_model], if cfg.use_hook_mlp_in
            self.hook_mlp_out = HookPoint()  # [batch, pos, d_model]

    def forward(
        self, resid: Float[Tensor, "batch pos d_model"], positions: Float[Tensor, "pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        resid = self.hook_resid_pre(resid)
        resid = resid + self.hook_attn_out(self.attend(resid, positions))
        if not self.cfg.attn_only:
            resid = self.hook_resid_mid(resid)
            resid = resid + self.hook_mlp_out(self.mlp(self.ln2(self._mlp_input(resid))))
        return self.hook_resid_post(resid)

    def attend(
        self, resid: Float[Tensor, "batch pos d_model"], positions: Float[Tensor, "pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """Attention's output; positions are seen by queries and keys, not by values."""
        if not self.cfg.use_split_qkv_input:
            x = self.ln1(resid)
            return self.attn(x + positions, x + positions, x)
        n_heads, positions = self.cfg.n_heads, positions[:, None]  # [pos, 1, d_model]
        # One copy each, so that an edit made in place stays with one head and one input.
        split = repeat(resid, "batch pos d_model -> batch pos head d_model", head=n_heads)
        return self.attn(
            self.ln1(self.attn.hook_q_input(split.clone())) + positions,
            self.ln1(self.attn.hook_k_input(split.clone())) + positions,
            self.ln1(self.attn.hook_v_input(split.clone())),
        )

    def _mlp_input(self, resid: Float[Tensor, "batch pos d_model"]) -> Tensor:
        # A copy, so that an edit made in place reaches the MLP alone.
        return self.hook_mlp_in(resid.clone()) if self.cfg.use_hook_mlp_in else resid


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
        self.ln_final = _norm(cfg)
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
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
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
        return torch.tensor(rows, dtype=torch.int64)

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
