"""Reference answers of chapter 06, Indirect object identification."""

from collections.abc import Callable, Collection, Set
from typing import Any, Literal

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import ActivationCache

from circuits_course.circuits import Head, path_patch_sweep
from circuits_course.data import IOIBatch, bos_token


def logit_difference(
    logits: Float[Tensor, "batch pos d_vocab"],
    io: Int[Tensor, " batch"],
    s: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """How far the IO's logit lies above the subject's at the last position, one number a prompt.

    io, s: the two names' tokens. The last position is END (of prompts that differ in length,
    `run_at_end` gives END alone).
    """
    # BEGIN BLANK
    at_end = logits[:, -1]
    # END BLANK
    rows = torch.arange(len(logits))
    # BEGIN BLANK
    return at_end[rows, io] - at_end[rows, s]
    # END BLANK


def attribute_layers(
    cache: ActivationCache, direction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "component batch"]:
    """What each component adds to the logit difference at the last position, in logits.

    Components in order: the embedding (`cache["resid_pre", 0]`), then attn_out and mlp_out of each
    layer. direction: what the logit difference reads from the normalised residual stream. The
    sum over components is the logit difference, up to the unembedding's bias b_U.
    """
    components = [cache["resid_pre", 0]]
    for layer in range(cache.model.cfg.n_layers):
        # BEGIN BLANK
        components += [cache["attn_out", layer], cache["mlp_out", layer]]
        # END BLANK
    written = torch.stack(components)[:, :, -1]
    scale = cache["ln_final.hook_scale"][:, -1]  # [batch, 1]
    # BEGIN BLANK
    return (written / scale * direction).sum(-1)
    # END BLANK


def attribute_heads(
    cache: ActivationCache, direction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "layer head batch"]:
    """What each head adds to the logit difference at the last position, in logits.

    A head writes z @ W_O; z is `cache["z", layer]`, [batch, pos, head, d_head], and W_O is
    `cache.model.W_O`, [layer, head, d_head, d_model]. The scale is that of the whole run's final
    norm. A layer's heads sum to what its attn_out adds (up to the bias b_O).
    """
    W_O = cache.model.W_O
    z = torch.stack([cache["z", layer][:, -1] for layer in range(len(W_O))])
    read = direction / cache["ln_final.hook_scale"][:, -1]
    return einsum(
        z, W_O, read,
        "layer batch head d_head, layer head d_head d_model, batch d_model -> layer head batch",
    )  # fmt: skip


def name_mover_scores(model: Any, batch: IOIBatch) -> Float[Tensor, "layer head"]:
    """Each head's attention from END to the IO, averaged over the prompts.

    batch.tokens: [batch, pos]; batch.positions["END"] and ["IO"]: [batch], another one in each
    prompt.
    """
    _, cache = model.run_with_cache(
        batch.tokens, names_filter=lambda name: name.endswith("hook_pattern")
    )
    rows = torch.arange(len(batch.tokens))
    # BEGIN BLANK
    end, io = batch.positions["END"], batch.positions["IO"]
    looks = [cache["pattern", layer][rows, :, end, io] for layer in range(model.cfg.n_layers)]
    # END BLANK
    return torch.stack(looks).mean(1)  # [layer, batch, head] -> [layer, head]


def copy_score(
    model: Any, head: Head, names: Int[Tensor, " name"], sign: Literal[1, -1] = 1
) -> float:
    """Share of names that are among the 5 largest logits of what the head writes on reading them.

    names: tokens. What is read: the residual stream after layer 0 at the name, in the prompt [BOS,
    name]. What is written: that times W_V, W_O and W_U of the head, and times `sign`: with -1 the
    share of names that the head pushes down. Of grouped values several heads share one W_V.
    """
    layer, index = head
    prompts = torch.stack([torch.full_like(names, bos_token(model)), names], dim=1)
    _, cache = model.run_with_cache(prompts, stop_at_layer=1)
    resid = cache["resid_post", 0][:, 1]
    # BEGIN BLANK
    W_V, W_O = model.W_V[layer], model.W_O[layer]
    shared_by = len(W_O) // len(W_V)  # heads to a value
    written = sign * resid @ W_V[index // shared_by] @ W_O[index]
    # END BLANK
    top = (written @ model.W_U).topk(5).indices
    return (top == names[:, None]).any(-1).float().mean().item()


def duplicate_token_scores(model: Any, batch: IOIBatch) -> Float[Tensor, "layer head"]:
    """Each head's attention from S2 to S1, averaged over the prompts.

    S1 and S2 are the subject's first and second mention, by name in `batch.positions`.
    """
    _, cache = model.run_with_cache(
        batch.tokens, names_filter=lambda name: name.endswith("hook_pattern")
    )
    rows, at = torch.arange(len(batch.tokens)), batch.positions
    layers = range(model.cfg.n_layers)
    return torch.stack([cache["pattern", i][rows, :, at["S2"], at["S1"]].mean(0) for i in layers])


def s_inhibition_effect(
    model: Any, batch: IOIBatch, movers: Collection[Head]
) -> Float[Tensor, "layer head"]:
    """How the mean logit difference changes when movers' queries hear each head from ABC prompts.

    One path at a time: from a head's output at END, through everything but other heads, to the
    queries of `movers`. Negative: the head, by telling the movers where to look, raises the logit
    difference. `path_patch_sweep` runs all senders; `batch.corrupt("ABC")` and `batch.metric` give
    the other prompts and the mean logit difference.
    """
    corrupted, end = batch.corrupt("ABC"), batch.positions["END"]
    # BEGIN BLANK
    queries = [(layer, head, "q") for layer, head in movers]
    patched = path_patch_sweep(model, batch.tokens, corrupted, queries, batch.metric, position=end)
    # END BLANK
    return patched - batch.metric(model(batch.tokens))


def knock_out(model: Any, batch: IOIBatch, heads: Collection[Head]) -> Float[Tensor, " batch"]:
    """Each prompt's logit difference at its END when the outputs z of `heads` are means.

    What takes a head's place, at every position: the mean of its z over those prompts of
    `batch.abc_reference()` whose group is the prompt's. (That gives tokens, and a group for each;
    `batch.groups` has the prompts'.)
    """
    reference, reference_groups = batch.abc_reference()
    _, cache = model.run_with_cache(
        reference, names_filter=lambda name: name.endswith("attn.hook_z")
    )

    def replace(z: Float[Tensor, "batch pos head d_head"], hook: Any) -> Tensor:
        z, theirs = z.clone(), cache[hook.name]
        means = torch.stack([theirs[reference_groups == group].mean(0) for group in batch.groups])
        for layer, head in heads:
            if layer == hook.layer():
                z[:, :, head] = means[:, :, head]
        return z

    layers = {layer for layer, _ in heads}
    logits = model.run_with_hooks(
        batch.tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", replace) for layer in layers]
    )
    at_end = logits[torch.arange(len(logits)), batch.positions["END"]]
    return logit_difference(at_end[:, None], batch.io, batch.s)


def faithfulness(
    F: Callable[[Set[Head]], float], model_heads: Set[Head], circuit: Set[Head]
) -> float:
    """How far the circuit alone is from the whole model: |F(M) - F(C)|, in logits.

    F(heads): the mean logit difference when only these heads are left. model_heads: M, all of them.
    """
    return abs(F(model_heads) - F(circuit))


def completeness(
    F: Callable[[Set[Head]], float],
    model_heads: Set[Head],
    circuit: Set[Head],
    removed: Set[Head],
) -> float:
    """How differently circuit and model suffer the same loss K: |F(C \\ K) - F(M \\ K)|, in logits.

    removed: K, heads of the circuit. A circuit that lacks a backup suffers more than the model.
    """
    return abs(F(circuit - removed) - F(model_heads - removed))


def minimality(
    F: Callable[[Set[Head]], float],
    circuit: Set[Head],
    head: Head,
    removed: Set[Head] = frozenset(),
) -> float:
    """What a head matters to the circuit without K: |F(C \\ (K + head)) - F(C \\ K)|, in logits.

    removed: K, other heads of the circuit; without them a head may show what it stands in for.
    """
    rest = circuit - removed
    return abs(F(rest - {head}) - F(rest))
