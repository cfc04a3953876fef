"""The parts of a transformer, one class per concept, a shape beside every reshaping line."""

from __future__ import annotations

import math
from typing import cast

import torch
from einops import einsum, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens import FactoredMatrix
from transformer_lens.hook_points import HookPoint

from circuits_course.models.config import CourseConfig


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


class Embed(nn.Module):
    """Look up each token's row of W_E [d_vocab, d_model]."""

    def __init__(self, cfg: CourseConfig) -> None:
        super().__init__()
        self.W_E = _parameter(cfg.d_vocab, cfg.d_model)

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_E[tokens.to(self.W_E.device)]


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


def norm_of(cfg: CourseConfig) -> nn.Module:
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
        self.ln1, self.attn = norm_of(cfg), Attention(cfg)
        self.hook_resid_pre = HookPoint()  # [batch, pos, d_model]
        self.hook_attn_out = HookPoint()  # [batch, pos, d_model]
        self.hook_resid_post = HookPoint()  # [batch, pos, d_model]
        if not cfg.attn_only:
            self.ln2, self.mlp = norm_of(cfg), MLP(cfg)
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
