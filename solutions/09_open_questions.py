"""Reference answers of chapter 09, Open questions."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens import utilities as utils

from circuits_course.circuits import Place


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """The mean of at least two independent runs, and the standard error of that mean.

    The error is the sample standard deviation (which divides by n - 1) over the root of n.
    """
    runs = torch.tensor(values, dtype=torch.float64)
    # BEGIN BLANK
    error = runs.std(correction=1) / len(runs) ** 0.5
    # END BLANK
    return runs.mean().item(), error.item()


def behaviour_masks(tokens: Int[Tensor, "batch pos"]) -> dict[str, Bool[Tensor, "batch q k"]]:
    """For each behaviour, the keys that a head showing it looks at; True at [b, q, k].

    "previous token": the key just before the query. "duplicate token": every earlier key that holds
    the query's token. "induction": every key, the query at most, whose own previous token is the
    query's token, seen before the query. Key 0 (BOS) counts for none of them.
    """
    batch, pos = tokens.shape
    query, key = torch.arange(pos)[:, None], torch.arange(pos)[None, :]
    same = tokens[:, :, None] == tokens[:, None, :]  # [batch, q, k]
    # BEGIN BLANK
    after_same = torch.zeros_like(same)
    after_same[:, :, 1:] = same[:, :, :-1]
    masks = {
        "previous token": (key == query - 1).expand(batch, pos, pos),
        "duplicate token": same & (key < query),
        "induction": after_same & (key <= query),
    }
    # END BLANK
    return {behaviour: mask & (key > 0) for behaviour, mask in masks.items()}


def head_profile(model, tokens: Int[Tensor, "batch pos"]) -> dict[str, Float[Tensor, "layer head"]]:
    """How strongly every head shows every behaviour of `behaviour_masks` on these tokens.

    A head's score is the attention that a query gives to all keys of the mask together, averaged
    over the queries (of all sequences alike) that have such a key. Behaviours that no query could
    show are left out.
    """
    masks = {name: mask for name, mask in behaviour_masks(tokens).items() if mask.any()}
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    profile = {name: torch.zeros(n_layers, n_heads) for name in masks}

    def score(pattern: Float[Tensor, "batch head q k"], hook):
        for behaviour, mask in masks.items():
            asked = mask.any(-1)  # [batch, q]
            # BEGIN BLANK
            on_target = (pattern * mask[:, None]).sum(-1)  # [batch, head, q]
            profile[behaviour][hook.layer()] = on_target.transpose(1, 2)[asked].mean(0)
            # END BLANK

    names = [utils.get_act_name("pattern", layer) for layer in range(n_layers)]
    model.run_with_hooks(tokens, return_type=None, fwd_hooks=[(name, score) for name in names])
    return profile


def compare_profiles(
    profiles: dict[str, dict[str, Float[Tensor, "layer head"]]], at_least: float
) -> dict[str, dict[str, Place]]:
    """Where each model keeps its strongest head of each behaviour: {behaviour: {model: place}}.

    profiles: {model: its head profile}. A `Place(depth, score)` holds the head's relative depth,
    from 0 in the first layer to 1 in the last, and its score. A model of a single layer has depth
    0. A model whose strongest head scores below `at_least` has no place: it is missing there, and a
    behaviour without any place is missing altogether.
    """
    places = {}
    for model, profile in profiles.items():
        for behaviour, scores in profile.items():
            n_layers, n_heads = scores.shape
            # BEGIN BLANK
            layer = int(scores.argmax()) // n_heads
            depth = layer / max(n_layers - 1, 1)
            shown = scores.max() >= at_least
            # END BLANK
            if shown:
                place = Place(depth, scores.max().item())
                places.setdefault(behaviour, {})[model] = place
    return places


def ablation_costs(
    model,
    tokens: Int[Tensor, "batch pos"],
    loss: Callable[..., Float[Tensor, " job"]],
) -> Float[Tensor, "job layer head"]:
    """How much the loss in each job rises (nats) when one head's output z is replaced by its mean.

    loss(model, tokens) gives one loss for each job. Heads are ablated one at a time; the mean runs
    over all sequences and positions of the run itself. Leaves the model as it was.
    """
    whole = loss(model, tokens)
    costs = torch.zeros(len(whole), model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def flatten(z: Float[Tensor, "batch pos head d_head"], hook, head=head):
                # BEGIN BLANK
                z = z.clone()
                z[:, :, head] = z[:, :, head].mean((0, 1))
                # END BLANK
                return z

            with model.hooks(fwd_hooks=[(utils.get_act_name("z", layer), flatten)]):
                # BEGIN BLANK
                costs[:, layer, head] = loss(model, tokens) - whole
                # END BLANK
    return costs


def head_jobs(
    model, heads: list[tuple[int, int]], texts: dict[str, Int[Tensor, "batch pos"]]
) -> dict[str, dict[tuple[int, int], dict[str, float | Float[Tensor, " batch"]]]]:
    """What heads do in each context: {context: {head: {behaviour: score, ..., "cost": nats}}}.

    heads: (layer, head) pairs, judged one at a time. texts: {context: tokens}. The scores are a
    head's own in `head_profile`. The cost has one entry for each sequence: what replacing the
    head's z by its mean, over that context's sequences and positions, adds to the sequence's mean
    next-token loss.
    """

    def losses(tokens, hooks) -> Float[Tensor, " batch"]:
        with model.hooks(fwd_hooks=hooks):
            loss = model(tokens, return_type="loss", loss_per_token=True)
        # BEGIN BLANK
        return loss.mean(1)
        # END BLANK

    jobs = {}
    for context, tokens in texts.items():
        profile, whole = head_profile(model, tokens), losses(tokens, [])
        jobs[context] = {}
        for layer, index in heads:

            def flatten(z: Float[Tensor, "batch pos head d_head"], hook, index=index):
                # BEGIN BLANK
                z = z.clone()
                z[:, :, index] = z[:, :, index].mean((0, 1))
                # END BLANK
                return z

            without = losses(tokens, [(utils.get_act_name("z", layer), flatten)])
            # BEGIN BLANK
            found = {name: scores[layer, index].item() for name, scores in profile.items()}
            jobs[context][layer, index] = found | {"cost": without - whole}
            # END BLANK
    return jobs


def effective_number(costs: Float[Tensor, "job head"]) -> Float[Tensor, " head"]:
    """How many jobs each head carries: (sum of its costs)^2 / sum of its squared costs.

    Taken over the jobs. It is 1 if a head matters for one job alone, n if it matters equally for n,
    and in between otherwise. Costs below zero (the job goes better without the head) count as 0; a
    head without any cost carries 0 jobs.
    """
    harm = costs.clamp_min(0)
    squares = (harm**2).sum(0)
    # BEGIN BLANK
    return torch.where(squares > 0, harm.sum(0) ** 2 / squares.clamp_min(1e-30), 0.0)
    # END BLANK


def head_similarity(pattern: Float[Tensor, "batch head q k"]) -> float:
    """Mean cosine similarity between the attention patterns of two different heads of a layer.

    A head's pattern on one sequence is one long vector, all its queries and keys. The mean runs
    over sequences and over all pairs of different heads. At least two heads.
    """
    # BEGIN BLANK
    unit = pattern.flatten(2)
    unit = unit / unit.norm(dim=-1, keepdim=True)
    cosines = unit @ unit.transpose(1, 2)
    n_heads = pattern.shape[1]
    others = ~torch.eye(n_heads, dtype=torch.bool)
    return cosines[:, others].mean().item()
    # END BLANK


def removable_heads(
    model,
    tokens: Int[Tensor, "batch pos"],
    loss: Callable[..., Float[Tensor, " job"]],
    allowed: float,
) -> list[tuple[int, int]]:
    """The heads that can go, one after another, before the model gets worse than is allowed.

    Heads go in the order of their mean cost over the jobs when ablated alone (`ablation_costs`),
    least first. Each that goes has its z replaced by z's mean over all sequences and positions, and
    stays gone. Stop before the first head with which the mean loss would lie more than `allowed`
    nats above the whole model's. Leaves the model as it was.
    """
    whole = loss(model, tokens).mean()
    costs = ablation_costs(model, tokens, loss).mean(0)  # [layer, head]
    order = [divmod(i, model.cfg.n_heads) for i in costs.flatten().argsort().tolist()]
    gone = []

    def flatten(z: Float[Tensor, "batch pos head d_head"], hook):
        z = z.clone()
        for layer, head in gone:
            if layer == hook.layer():
                z[:, :, head] = z[:, :, head].mean((0, 1))
        return z

    names = [utils.get_act_name("z", layer) for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, flatten) for name in names]):
        for head in order:
            gone.append(head)
            if loss(model, tokens).mean() - whole > allowed:
                gone.pop()
                break
    return gone
