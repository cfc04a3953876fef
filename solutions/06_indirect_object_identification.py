"""Reference answers of chapter 06, Indirect object identification."""

from collections.abc import Callable, Collection, Set
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits import Head, attention_between, path_patch_sweep
from circuits_course.data import IOIBatch


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
    cache: Any, direction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "component batch"]:
    """What each component adds to the logit difference at the last position, in logits.

    cache: an ActivationCache of TransformerLens. Components in order: the embedding
    (`cache["resid_pre", 0]`), then attn_out and mlp_out of each layer. direction: what the logit
    difference reads from the normalised residual stream. The sum over components is the logit
    difference, up to the unembedding's bias b_U.
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
    cache: Any, direction: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "layer head batch"]:
    """What each head adds to the logit difference at the last position, in logits.

    A head writes z @ W_O; z is `cache["z", layer]`, [batch, pos, head, d_head], and W_O is
    `cache.model.W_O`, [layer, head, d_head, d_model]. The scale is that of the whole run's final
    norm. A layer's heads sum to what its attn_out adds (up to the bias b_O).
    """
    W_O = cache.model.W_O
    z = torch.stack([cache["z", layer][:, -1] for layer in range(len(W_O))])
    read = direction / cache["ln_final.hook_scale"][:, -1]
    # layer batch head d_head, layer head d_head d_model, batch d_model -> layer head batch
    return torch.einsum("lbhd,lhdm,bm->lhb", z, W_O, read)


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


def copy_score(model: Any, batch: IOIBatch, head: Head, where: str = "IO", sign: int = 1) -> float:
    """Share of prompts in which the name at `where` is among the 5 tokens the head raises most.

    What the head moves is its value v at that name in the very prompt, `cache["v", layer]`: [batch,
    pos, kv_head, d_head]. What it writes is v W_O, in logits v W_O W_U. sign -1: the 5 tokens it
    lowers most. where: "IO", "S1" or "S2". Of grouped values several heads share one.
    """
    layer, index = head
    _, cache = model.run_with_cache(batch.tokens, names_filter=f"blocks.{layer}.attn.hook_v")
    rows, at = torch.arange(len(batch.tokens)), batch.positions[where]
    name = batch.tokens[rows, at]
    # BEGIN BLANK
    v = cache["v", layer][rows, at]  # [batch, kv_head, d_head]
    shared_by = model.cfg.n_heads // v.shape[1]  # heads to a value
    written = sign * v[:, index // shared_by] @ model.W_O[layer, index] @ model.W_U
    # END BLANK
    top = written.topk(5).indices
    return (top == name[:, None]).any(-1).float().mean().item()


def repetition_scores(
    model: Any, batch: IOIBatch, query: str, key: str
) -> Float[Tensor, "layer head"]:
    """How much more each head attends from `query` to `key` because a name is said twice.

    query, key: names in `batch.positions`. Mean attention on the prompts, minus mean attention
    between the same places of the ABC prompts, `batch.corrupt("ABC")`, where no name returns.
    `attention_between` gives means for several pairs: {(query, key): [layer, head]}.
    """
    looks, control = (
        # BEGIN BLANK
        attention_between(model, tokens, batch.positions, [(query, key)])[query, key]
        for tokens in (batch.tokens, batch.corrupt("ABC"))
        # END BLANK
    )
    return looks - control


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


def largest_gap(
    F: Callable[[Set[Head]], float], model_heads: Set[Head], circuit: Set[Head], steps: int
) -> list[Head]:
    """Up to `steps` heads K whose loss model and circuit suffer most differently, found greedily.

    Start with none. Each step adds the head of the circuit after which `completeness` is largest;
    stop where no head makes it larger. Returns K in the order of adding.
    """
    removed: list[Head] = []
    for _ in range(steps):
        widest = completeness(F, model_heads, circuit, set(removed))
        # BEGIN BLANK
        gaps = {
            head: completeness(F, model_heads, circuit, {*removed, head})
            for head in sorted(circuit - set(removed))
        }
        best = max(gaps, key=lambda head: gaps[head], default=None)
        if best is None or gaps[best] <= widest:
            break
        removed.append(best)
        # END BLANK
    return removed
