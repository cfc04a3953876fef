"""Reference answers of chapter 08, Logit lens."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course.circuits import Shortlist, TunedLens


def logit_lens(model, prompt: str | Int[Tensor, "1 pos"]) -> Float[Tensor, "state pos d_vocab"]:
    """What the model would say after each layer, if that layer were its last: logits.

    State 0 is the embedding, before any layer; state i comes after i layers; the last one gives
    the model's own logits. prompt: text, or the tokens of one sequence [1, pos].
    """
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: "resid" in name)
    last = model.cfg.n_layers - 1
    # BEGIN BLANK
    states = [cache["resid_pre", layer] for layer in range(model.cfg.n_layers)]
    states = torch.cat([*states, cache["resid_post", last]])
    return model.unembed(model.ln_final(states))
    # END BLANK


def rank_by_layer(model, prompt: str | Int[Tensor, "1 pos"], token: int) -> Int[Tensor, " state"]:
    """The rank of a token in each state's prediction after the last position; 0 is the top.

    The rank is the number of tokens with a larger logit.
    """
    # BEGIN BLANK
    logits = logit_lens(model, prompt)[:, -1]
    return (logits > logits[:, [token]]).sum(-1)
    # END BLANK


def settles_at(logits: Float[Tensor, "state d_vocab"]) -> int:
    """The first state from which on the top token is the final one, without a break."""
    top = logits.argmax(-1)
    # BEGIN BLANK
    other = (top != top[-1]).nonzero()
    return int(other.max()) + 1 if len(other) else 0
    # END BLANK


def lens_kl(logits: Float[Tensor, "state *place d_vocab"]) -> Float[Tensor, "state *place"]:
    """How far each state's prediction is from the final one: KL(final || state), nats.

    The sum over tokens of p (log p - log q), where p is the final distribution and q the state's.
    """
    log_q = logits.log_softmax(-1)
    log_p = log_q[-1]
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def contributions_by_component(
    model, prompt: str | Int[Tensor, "1 pos"], token: int, other: int | None = None
) -> dict[str, float]:
    """What each write adds to the last position's logit of `token`, minus that of `other` if given.

    Keys are the labels of `cache.decompose_resid` ("embed", "0_attn_out", "0_mlp_out", ...) and
    "bias", the entry of b_U. The final norm keeps the scale of the whole run for every part, so
    that the values sum to the logit (or to the difference).
    """
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    _, cache = model.run_with_cache(tokens)
    direction, bias = model.W_U[:, token], model.b_U[token]
    if other is not None:
        direction, bias = direction - model.W_U[:, other], bias - model.b_U[other]
    writes, labels = cache.decompose_resid(layer=-1, pos_slice=-1, return_labels=True)
    # BEGIN BLANK
    normed = cache.apply_ln_to_stack(writes, layer=-1, pos_slice=-1)[:, 0]
    values = (normed @ direction).tolist()
    # END BLANK
    return dict(zip([*labels, "bias"], [*values, bias.item()], strict=True))


def head_write(
    model, prompt: str | Int[Tensor, "1 pos"], layer: int, head: int
) -> Float[Tensor, " d_vocab"]:
    """What one head's write at the last position adds to the logit of every token, directly.

    The final norm keeps the scale of the whole run; b_U is nobody's write.
    """
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else prompt
    _, cache = model.run_with_cache(tokens)
    # BEGIN BLANK
    write = cache["z", layer][:, -1, head] @ model.W_O[layer, head]
    # END BLANK
    return (cache.apply_ln_to_stack(write[None], layer=-1, pos_slice=-1) @ model.W_U)[0, 0]


def lenses_of_means(
    states: Float[Tensor, "state n d_model"],
) -> tuple[TunedLens, TunedLens]:
    """Two lenses that know nothing but means over the n places.

    Both have one map for each state but the last. The first puts the mean final state in place of
    every state: weight 0, bias that mean. The second shifts each state so that its mean falls on
    the mean final state: weight the identity.
    """
    # BEGIN BLANK
    mean = states.mean(1)
    # END BLANK
    same = TunedLens.identity(len(states) - 1, states.shape[-1])
    # BEGIN BLANK
    constant = TunedLens(torch.zeros_like(same.weight), mean[-1:].expand_as(same.bias))
    shift = TunedLens(same.weight, mean[-1] - mean[:-1])
    # END BLANK
    return constant, shift


def train_tuned_lens(
    model,
    states: Float[Tensor, "state n d_model"],
    start: TunedLens,
    steps: int = 100,
    batch: int = 64,
    lr: float = 1e-3,
    seed: int = 0,
) -> TunedLens:
    """One affine map for each state but the last, trained to give the final prediction.

    Training begins with the maps of `start`, which stays as it is; 0 steps give it back. The loss
    is KL(final || lens), both scaled to sum to 1 on a shortlist of tokens drawn anew for each step,
    averaged over `batch` of the n places, and summed over the maps. Same seed, same lens.
    """
    generator = torch.Generator().manual_seed(seed)
    shortlist = Shortlist(model, states[-1])
    lens = TunedLens(start.weight.clone(), start.bias.clone())
    optimizer = torch.optim.Adam([lens.weight.requires_grad_(), lens.bias.requires_grad_()])
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        places = torch.randint(states.shape[1], (batch,), generator=generator)
        W_U, b_U = shortlist.draw(generator)
        with torch.enable_grad():
            # BEGIN BLANK
            log_p = (model.ln_final(states[-1:, places]) @ W_U + b_U).log_softmax(-1)
            log_q = (model.ln_final(lens(states[:-1, places])) @ W_U + b_U).log_softmax(-1)
            loss = (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1).sum()
            # END BLANK
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    return TunedLens(lens.weight.detach(), lens.bias.detach())


def write_survival(
    model, prompt: Int[Tensor, "1 pos"], other: Int[Tensor, "1 pos"], layer: int
) -> Float[Tensor, " state"]:
    """How much of an attention layer's write at the last position is left in each state.

    The prompt is run again with that write replaced by the one of the `other` prompt. What the
    replacement changes in a state is compared with what was replaced, w = write - other write:
    (change . w) / (w . w). It is 0 before the layer, 1 where the write is whole, 0 again where
    later layers have erased it. State layer + 1 comes after that layer's MLP, if it has one.
    """
    name = f"blocks.{layer}.hook_attn_out"
    kept = [name, *(f"blocks.{i}.hook_resid_post" for i in range(model.cfg.n_layers))]
    _, cache = model.run_with_cache(prompt, names_filter=kept)
    _, other_cache = model.run_with_cache(other, names_filter=kept)
    theirs = other_cache[name][:, -1]

    def replace(attn_out: Float[Tensor, "1 pos d_model"], hook):
        attn_out[:, -1] = theirs
        return attn_out

    # BEGIN BLANK
    with model.hooks(fwd_hooks=[(name, replace)]):
        _, changed = model.run_with_cache(prompt, names_filter=kept)
    w = (cache[name][:, -1] - theirs)[0]
    # END BLANK
    before, after = (
        torch.cat([run["resid_post", i][:, -1] for i in range(model.cfg.n_layers)])
        for run in (cache, changed)
    )
    # BEGIN BLANK
    share = (before - after) @ w / (w @ w)
    # END BLANK
    return torch.cat([share.new_zeros(1), share])
