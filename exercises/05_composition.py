# %% [markdown]
# # 05 Composition
#
# **You will be able to** say which heads work together, and through what: from weights alone, from
# what a head's keys are made of, and by cutting a single path. And you will know when the three
# disagree, and whom to believe.
#
# **Time** 90 to 120 minutes. **You need** chapters 01 (QK and OV), 03 and 04 (previous-token and
# induction heads), and for one exercise 02 (a residual stream with named directions).
# **Models** `induction-2l`, a model written by hand, and at the end a real one.

# %%
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model
from circuits_course.circuits import (
    Basis,
    CutPath,
    HeadCircuits,
    HeadWeights,
    all_composition_scores,
    for_key_parts,
    head_circuits,
    head_name,
    head_scores,
    key_parts,
    small_basis,
    strongest_heads,
    turn,
)
from circuits_course.data import bos_token, repeated_random_tokens
from circuits_course.models import checkpoints
from circuits_course.plots import plot_attention, plot_bars, plot_lines, plot_matrix, plot_scatter

torch.set_grad_enabled(False)
chapter = Chapter("05_composition")

# %% [markdown]
# ## What you remember
#
# Three questions on earlier chapters first. Recalling is what makes it stay.

# %%
chapter.quiz("what_qk_decides")

# %%
chapter.quiz("what_previous_token_writes")

# %%
chapter.quiz("why_two_layers")

# %% [markdown]
# ## The heads of this chapter
#
# We need to know which head is which before we ask how they work together. The model reads random
# sequences twice over, and two means along diagonals of the attention patterns give the roles: a
# previous-token head looks one back, an induction head in the second copy looks at the token after
# the earlier copy.


# %%
def diagonal_mean(pattern: Float[Tensor, "*head q k"], back: int, first: int) -> Tensor:
    """Mean attention to the position `back` before the query, over queries from `first` on."""
    return pattern.diagonal(-back, -2, -1)[..., first - back :].mean(-1)


def second_copy_loss(logits: Float[Tensor, "batch pos d_vocab"]) -> float:
    """Mean loss, in nats, on the tokens of the second copy, its first one excepted."""
    log_probs = logits[:, PERIOD + 1 : -1].log_softmax(-1)
    return -log_probs.gather(-1, tokens[:, PERIOD + 2 :, None]).mean().item()


PERIOD = 25
model = load_model("induction-2l")
n_heads = model.cfg.n_heads
tokens = repeated_random_tokens(16, PERIOD, model.cfg.d_vocab, torch.Generator().manual_seed(0))
logits, cache = model.run_with_cache(tokens)

looks_back = head_scores(model, tokens, lambda pattern: diagonal_mean(pattern, 1, 2))
looks_for_match = head_scores(
    model, tokens, lambda pattern: diagonal_mean(pattern, PERIOD - 1, PERIOD + 1)
)
plot_matrix(
    torch.cat([looks_back, looks_for_match], dim=1),
    "What the heads of induction-2l look at",
    x_labels=[f"{role} {h}" for role in ("one back", "match") for h in range(n_heads)],
    x_title="what is measured, and head",
    y_title="layer",
    unit="mean attention",
)

# %% tags=["nbval-check-output"]
previous = strongest_heads(looks_back[:1], 1)[0]
induction = [(1, h) for h in range(n_heads) if looks_for_match[1, h] > 0.2]

print("previous-token head:", head_name(previous))
print("induction heads:    ", ", ".join(map(head_name, induction)))

# %% [markdown]
# The cells below use the names `previous` and `induction`; heads are pairs (layer, head).
#
# ## Three ways to use what a lower head wrote
#
# Everything a head reads, it reads from the residual stream, and a lower head has written there.
# But a head reads three times: for its queries, for its keys and for its values.
#
# - **Q-composition**: the lower head's write changes what the higher head *asks for*.
# - **K-composition**: it changes what a position *answers to*.
# - **V-composition**: it changes *what is moved* from there.
#
# The first two change where the higher head looks. The third leaves the attention alone and changes
# the content.
#
# With row vectors, a lower head (the *source*) turns the vector $x$ it reads into $x W_{OV}$. A
# higher head (the *target*) scores a query vector $x$ against a key vector $y$ as $x W_{QK} y^T$.
# The source's write can stand in for $x$ or for $y$.
#
# How strongly *can* it? A score made of weights alone
# ([Elhage et al. 2021](https://transformer-circuits.pub/2021/framework/), "Three Kinds of
# Composition") compares the size of the product with the sizes of its two factors:
#
# $$\frac{\lVert W_{OV}^{source} \; M \rVert_F}{\lVert W_{OV}^{source} \rVert_F \;
# \lVert M \rVert_F}$$
#
# where $M$ is what the target does with its input: one of $W_{QK}$, $W_{QK}^T$, $W_{OV}$. The norm is
# the root of the sum of all squared entries (Frobenius). If the source writes nothing that $M$ reads,
# the product is zero.

# %%
chapter.predict("which_kind", choices=["queries", "keys", "values"])

# %% exercise="composition_score"
# `head_circuits(model, layer, head)` gives a head as `HeadCircuits`: a named tuple of `W_Q`, `W_K`,
# `W_V` `[d_model, d_head]` and `W_O` `[d_head, d_model]`, with the two products `.QK` and `.OV`.
#
# Which matrix belongs to which kind? Ask where $x W_{OV}$ goes. (The paper writes column vectors, so
# its products stand the other way round. The norms are the same.)

# %% [markdown]
# Your function on all pairs of this model:


# %%
def score_table(kind: str) -> Float[Tensor, "source target"]:
    """Composition scores of all heads of layer 0 with all heads of layer 1."""
    lower, higher = ([head_circuits(model, la, h) for h in range(n_heads)] for la in (0, 1))
    return torch.tensor([[composition_score(kind, a, b) for b in higher] for a in lower])


tables = {kind: score_table(kind) for kind in "QKV"}
plot_matrix(
    torch.cat(list(tables.values()), dim=1),
    "Composition scores between the two layers of induction-2l",
    x_labels=[f"{kind} of 1.{h}" for kind in "QKV" for h in range(n_heads)],
    y_labels=[f"0.{h}" for h in range(n_heads)],
    x_title="how it is read, and by which head",
    y_title="source",
    unit="composition score",
)

# %% tags=["nbval-check-output"]
for kind, table in tables.items():
    row = table[previous[1]]
    best = max(induction, key=lambda head: row[head[1]])
    print(f"{kind}: previous-token head to {head_name(best)}: {row[best[1]]:.2f}")
brightest = max(
    ((kind, a, b) for kind in "QKV" for a in range(n_heads) for b in range(n_heads)),
    key=lambda place: tables[place[0]][place[1], place[2]],
)
kind, a, b = brightest
print(f"highest of all: {kind}, 0.{a} to 1.{b}: {tables[kind][a, b]:.2f}")

# %% [markdown]
# *What to see:* the row of the previous-token head has one bright cell, the keys of the induction
# head. It hardly fits that head's queries or values. But the brightest cells of the picture are
# elsewhere, and belong to no story we know. We come back to them.
#
# TransformerLens computes the same numbers: `utils.composition_scores` takes two FactoredMatrix
# objects, the source on the left. (Its models have `all_composition_scores(kind)`, for all pairs at
# once; on a model with hundreds of heads that takes more memory than most laptops have. The package
# function of the same name, imported above, goes layer by layer.)

# %% tags=["nbval-check-output"]
theirs = {
    "Q": utils.composition_scores(model.OV[0], model.QK[1]),
    "K": utils.composition_scores(model.OV[0], model.QK[1].T),
    "V": utils.composition_scores(model.OV[0], model.OV[1]),
}
for kind in "QKV":
    ours = all_composition_scores(model, kind)[0, :, 1]
    agree = torch.allclose(tables[kind], theirs[kind], atol=1e-5)
    print(
        kind, "as TransformerLens:", agree, "| as the package:", torch.allclose(ours, tables[kind])
    )

# %% [markdown]
# ## What would chance give?
#
# Is 0.1 much? Two heads that know nothing of each other still overlap a little. To read a score you
# need to know what random weights give.

# %%
chapter.predict(
    "random_heads",
    choices=[
        "0, they have nothing to do with each other",
        "about 0.12",
        "about 0.25, since 16 / 64 of the dimensions are shared",
    ],
)

# %% exercise="random_composition_baseline"

# %%
sizes = [16, 32, 64, 128, 256]
drawn = {
    f"d_head {d_head}": [random_composition_baseline(size, d_head, 40, seed=0) for size in sizes]
    for d_head in (1, 4, 16)
}
plot_lines(
    {"1 / sqrt(d_model)": [size**-0.5 for size in sizes]}
    | {name: [scores.mean() for scores in rows] for name, rows in drawn.items()},
    "Composition scores of random heads",
    x=sizes,
    x_title="d_model",
    y_title="composition score",
    bands={
        name: ([s.quantile(0.1) for s in rows], [s.quantile(0.9) for s in rows])
        for name, rows in drawn.items()
    },
)

# %% tags=["nbval-check-output"]
baseline = model.cfg.d_model**-0.5
measured = random_composition_baseline(model.cfg.d_model, model.cfg.d_head, 60, seed=1)
print(f"1 / sqrt(d_model):    {baseline:.3f}")
print(f"measured, {len(measured)} pairs:   {measured.mean():.2f}")

# %% [markdown]
# *What to see:* for heads of 16 dimensions the mean lies on $1/\sqrt{d_{model}}$ and the band (from
# the 10th to the 90th percentile) is narrow. $d_{head}$ drops out of the mean. It does not drop out of
# the *spread*: with one dimension the score is the cosine between two arrows, and anything may
# happen. (There the mean lies below the line, too: it is the mean of the *squares* that is
# $1/d_{model}$.)
#
# That matters for trained heads. A head whose weights use only a few of their dimensions scatters
# like a narrow one, so a high score of one pair is weaker evidence than the formula suggests. How many
# dimensions does a head use? One measure is the number of equally strong directions that would
# concentrate its norm as much:

# %%
strengths = torch.stack([model.OV[0, h].S[..., : model.cfg.d_head] for h in range(n_heads)])
used = strengths.pow(2).sum(-1) ** 2 / strengths.pow(4).sum(-1)
for h, count in enumerate(used.flatten().tolist()):
    print(f"head 0.{h}: OV uses about {count:.1f} of its {model.cfg.d_head} dimensions")

# %% [markdown]
# *What to see:* some heads of this model write along hardly more than one direction. Their scores are
# cosines between two arrows, as in the lowest line of the picture above, and these are the heads
# that the brightest cells belong to.
#
# ### Does the score grow when the skill is learned?
#
# The weights of this model were kept at several steps of its training. We follow three numbers: the
# K-composition score of the previous-token head with the induction heads, the mean of all other
# pairs, and the attention that the induction heads pay to the right token.

# %%
history: dict[str, list[float]] = {"previous-token to induction": [], "all other pairs": []}
history["attention to the right token"] = []
for step in checkpoints("induction-2l"):
    at_step = load_model("induction-2l", checkpoint=step)
    scores = all_composition_scores(at_step, "K")[0, :, 1]
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[previous[1], [h for _, h in induction]] = True
    patterns = at_step.run_with_cache(tokens)[1]["pattern", 1][:, [h for _, h in induction]]
    history["previous-token to induction"].append(scores[chosen].mean().item())
    history["all other pairs"].append(scores[~chosen].mean().item())
    matched = diagonal_mean(patterns, PERIOD - 1, PERIOD + 1).mean().item()
    history["attention to the right token"].append(matched)
plot_lines(
    history,
    "K-composition over training",
    x=checkpoints("induction-2l"),
    x_title="training step",
    y_title="composition score, or mean attention",
)

# %%
steps = checkpoints("induction-2l")
halfway = {
    name: next(s for s, y in zip(steps, ys) if y - ys[0] >= (ys[-1] - ys[0]) / 2)
    for name, ys in history.items()
    if name != "all other pairs"
}
print("At chance level:", f"{baseline:.3f}")
print(
    "First and last:", {name: (round(ys[0], 3), round(ys[-1], 3)) for name, ys in history.items()}
)
print("Half of the rise is reached at step:", halfway)

# %% [markdown]
# *What to see:* the score leaves the level of chance, and all other pairs stay near it. It does not
# rise *with* the skill: it rises first. When the head begins to look at the right token, the weights
# between the two heads have long been in place; later the score even falls a little. This is one
# training run of one small model, so take it as a question to ask of others.
#
# ## Composition through values: virtual heads
#
# When one head moves what another head has moved, the two act like a third head that is nowhere in
# the weights, a **virtual head** (Elhage et al. 2021, "Virtual Attention Heads"). It has an attention
# pattern and an OV matrix, both products.
#
# Take the pattern first. Head *a* sits below head *b*. If *b* looks from position 7 to 4, and *a* had
# looked from 4 to 1, then information from 1 arrives at 7.

# %% exercise="virtual_pattern"

# %% [markdown]
# Then the content: a token's vector goes through *a*, and the result through *b*.

# %% exercise="virtual_ov"

# %% [markdown]
# ### Build one
#
# In chapter 02 you wrote heads by hand. Now write two that only mean something together. Each looks
# one position back. The first moves the symbol it finds to a free place in the residual stream, the
# second moves *what the first one brought*. Together they look two back.
#
# `basis.token`, `basis.previous` and `basis.out` hold one direction for each symbol, as rows. The
# attention of both heads is written already; you choose what they move.

# %% exercise="two_back"

# %%
basis = small_basis(seed=0)
by_hand = basis.model(*two_back(basis))
word = "cab1ade2b"
hand_tokens = by_hand.to_tokens(word)
hand_logits, hand_cache = by_hand.run_with_cache(hand_tokens)
low, high = (hand_cache["pattern", layer][0, 0] for layer in (0, 1))
plot_attention(
    by_hand.to_str_tokens(hand_tokens),
    torch.stack([low, high, virtual_pattern(low, high)]),
    "Two heads that look one back, and their virtual head",
    head_names=["0.0", "1.0", "virtual"],
)

# %% tags=["nbval-check-output"]
said = by_hand.to_str_tokens(hand_logits[0, 3:].argmax(-1), prepend_bos=False)
print("reads   ", " ".join(word[2:]))
print("predicts", " ".join(said))
one, two = head_circuits(by_hand, 0, 0), head_circuits(by_hand, 1, 0)
for kind in "QKV":
    print(f"{kind}-composition {composition_score(kind, one, two):.2f}")
print("chance       ", f"{basis.d_model**-0.5:.2f}")

# %% [markdown]
# *What to see:* the bright line of the virtual head lies one further from the diagonal than those of
# the two real ones. And the score tells how they work together: through values, not at all through
# queries or keys.
#
# Why is the score not 1, when everything that is written is read? Because it is 1 only for heads that
# use a single direction. A head that uses $r$ directions evenly scores $1/\sqrt{r}$ at best: here
# there are nine, one for each symbol, and the score is at this ceiling. A score of a trained head
# is to be read between the floor $1/\sqrt{d_{model}}$ and a ceiling of this kind.
#
# What does the virtual OV do here? It takes `token` to `out`:

# %%
virtual = virtual_ov(one, two)
token_to_out = basis.token @ virtual.A @ (virtual.B @ basis.out.T)
plot_matrix(
    token_to_out,
    "The virtual head's OV: from the symbol read to the symbol predicted",
    x_labels=basis.vocabulary,
    y_labels=basis.vocabulary,
    x_title="out direction",
    y_title="token direction",
    unit="weight",
)

# %% [markdown]
# ## Every path to the logits
#
# In a model without MLPs and norm, the logits are a sum over paths. In two layers there are the
# **direct path** (embedding to unembedding), one path through each head alone, and one through each
# pair of a lower and a higher head: the virtual heads. The attention patterns are taken from the full
# run and *frozen*: given where every head looks, all that is left is linear.

# %% exercise="path_expansion"

# %% tags=["nbval-check-output"]
paths = path_expansion(model, tokens)
print(len(paths), "paths; they sum to the logits:",
      torch.allclose(sum(paths.values()), logits, atol=1e-3))  # fmt: skip

# %% [markdown]
# Which of them matter? One answer: leave a path out and see how much the loss rises. Before you do,
# think of the five costliest paths.

# %%
chapter.predict(
    "importance_of_previous", choices=["most of them", "about half", "none, or nearly none"]
)

# %% exercise="path_importance"

# %%
importance = path_importance(paths, tokens)


def path_name(path: tuple[tuple[int, int], ...]) -> str:
    """() -> "direct", ((0, 1), (1, 2)) -> "0.1 > 1.2"."""
    return " > ".join(map(head_name, path)) or "direct"


ranked = sorted(importance, key=importance.get, reverse=True)
plot_bars(
    {path_name(path): importance[path] for path in ranked[:8]},
    "What leaving out one path costs (the eight largest)",
    y_title="added loss, nats",
    x_title="path",
)

# %%
through_previous = {path: rise for path, rise in importance.items() if previous in path}
print(f"paths through {head_name(previous)}: {len(through_previous)} of {len(paths)}")
print(f"the largest of them costs {max(through_previous.values()):.4f} nats; "
      f"the largest of all {importance[ranked[0]]:.4f}")  # fmt: skip

# %% [markdown]
# *What to see:* one bar, and it is the induction head. It copies the token it looks at, straight from
# its embedding. No path through the previous-token head is anywhere near.
#
# The same by order, on the second copy: how good is the model that has only the direct path, that and
# the single heads, or everything?

# %%
by_order = {
    "uniform guess": torch.zeros_like(logits),
    "direct path": paths[()],
    "and single heads": sum(value for path, value in paths.items() if len(path) < 2),
    "and virtual heads": sum(paths.values()),
}
order_losses = {name: second_copy_loss(value) for name, value in by_order.items()}
plot_bars(order_losses, "Paths up to a length, patterns frozen", y_title="second-copy loss, nats")

# %% [markdown]
# *What to see:* the direct path alone is no better than guessing here, for the tokens are random.
# Single heads bring nearly all of it. Virtual heads add next to nothing.
#
# Elhage et al. 2021 (section "Term Importance Analysis") reported the same order for a two-layer model
# of English: the direct path and single heads account for most of it, virtual heads for little. So
# one may look at single heads first.
#
# And yet we know from chapter 04 that without the previous-token head induction is dead.

# %%
chapter.explain("frozen_patterns")

# %% [markdown]
# ## What are the keys made of?
#
# The expansion froze the patterns, and the previous-token head works *through a pattern*. So we open
# the pattern. A key is linear in the residual stream, and the residual stream is a sum: embedding
# and position, plus what each lower head wrote. With the query left whole, the **score** is a sum
# with one term for each writer.

# %%
chapter.predict(
    "who_wrote_the_keys",
    choices=[
        "the embedding of x, with its position",
        "what the previous-token head wrote there",
        "what all heads of layer 0 wrote, about equally",
    ],
)

# %% exercise="decompose_keys"

# %% [markdown]
# The strongest induction head, on one prompt, at the second `q`:

# %% tags=["nbval-check-output"]
strongest = max(induction, key=lambda head: looks_for_match[head])
prompt = model.to_tokens("qxbmztqxbmzt")
symbols = model.to_str_tokens(prompt[0])
parts = decompose_keys(model, prompt, *strongest)
whole = model.run_with_cache(prompt)[1]["attn_scores", 1][:, strongest[1]]
print(
    "sums to the scores:",
    torch.allclose(parts.sum(0).tril(), whole.nan_to_num(neginf=0.0), atol=1e-3),
)

# %%
writers = ["embed + pos", *(f"0.{h}" for h in range(n_heads))]
second_q = 7
plot_matrix(
    parts[:, 0, second_q, : second_q + 1],
    f"Scores of the second q in head {head_name(strongest)}, by who wrote the key",
    x_labels=symbols[: second_q + 1],
    y_labels=writers,
    x_title="key",
    y_title="writer",
    unit="score",
    diverging=True,
)

# %% [markdown]
# *What to see:* two strong cells. One is BOS, in the row of the embedding: a place to rest when nothing
# matches. The other is the `x` after the first `q`, in the row of one head. The remaining
# rows are nearly even; some are far from zero, but they prefer no key.
#
# ### What the softmax cannot see
#
# A number added to *all* scores of a query changes nothing: the softmax compares keys with each other.
# So the size of a term says little. What counts is how it differs from key to key.

# %% exercise="visible_scores"

# %%
_, split_cache = model.run_with_cache(tokens)
parts = decompose_keys(model, tokens, *strongest)
second_copy = slice(PERIOD + 1, None)
past = torch.ones(tokens.shape[1], tokens.shape[1]).tril()
size = (parts * past)[:, :, second_copy].pow(2).mean((1, 2, 3)).sqrt()
visible = visible_scores(parts)[:, :, second_copy].pow(2).mean((1, 2, 3)).sqrt()
plot_matrix(
    torch.stack([size, visible]),
    f"Score terms of head {head_name(strongest)}: whole, and what the softmax sees of them",
    x_labels=writers,
    y_labels=["whole", "visible"],
    x_title="writer",
    y_title="",
    unit="root mean square",
)

# %% [markdown]
# *What to see:* a term that is nearly the same at every key shrinks. The previous-token head's does not.

# %%
to_match = diagonal_mean(visible_scores(parts), PERIOD - 1, PERIOD + 1).mean(-1)
plot_bars(
    dict(zip(writers, to_match.tolist())),
    f"What each writer adds to the score of the right key, head {head_name(strongest)}",
    y_title="score above the query's mean",
    x_title="writer",
)

# %% [markdown]
# *What to see:* of all writers only one lifts the key after the match above the others. This is
# K-composition, seen on data: the induction head finds its place by what the previous-token head wrote.
#
# ## Cut one path
#
# A split of scores is still a description. The experiment: remove exactly this term, from this
# head's keys, and leave everything else running. The source head still writes; everyone else
# still reads it.

# %% exercise="causal_k_composition"

# %% [markdown]
# All pairs, three numbers each: the score of the weights, how far the target's attention moves when
# the path is cut (the share of attention that lands elsewhere, from 0 to 1), and what that costs.

# %%
whole_loss = second_copy_loss(logits)
pairs = [((0, a), (1, b)) for a in range(n_heads) for b in range(n_heads)]
weight_score, moved, cost = {}, {}, {}
for source, target in pairs:
    cut = causal_k_composition(model, tokens, source, target)
    before = cache["pattern", 1][:, target[1]]
    weight_score[source, target] = tables["K"][source[1], target[1]].item()
    shift = (cut.pattern - before).abs().sum(-1) / 2
    moved[source, target] = shift[:, second_copy].mean().item()
    cost[source, target] = second_copy_loss(cut.logits) - whole_loss

pair_names = [f"{head_name(a)} > {head_name(b)}" for a, b in pairs]
groups = ["to an induction head" if b in induction else "to another head" for _, b in pairs]
plot_scatter(
    list(weight_score.values()),
    list(moved.values()),
    "K-composition: weights against what cutting does",
    labels=pair_names,
    groups=groups,
    x_title="composition score",
    y_title="attention moved in the second copy",
)

# %%
chapter.predict(
    "high_score_no_effect",
    choices=[
        "it rises about as much as for the induction heads",
        "it rises, but less",
        "nothing",
    ],
)

# %%
print("pair         score   attention moved   added loss, nats")
for pair in sorted(pairs, key=weight_score.get, reverse=True)[:8]:
    name = f"{head_name(pair[0])} > {head_name(pair[1])}"
    print(f"{name:11} {weight_score[pair]:6.3f} {moved[pair]:17.2f} {cost[pair]:18.3f}")

# %% tags=["nbval-check-output"]
idle = max((pair for pair in pairs if abs(cost[pair]) < 0.02), key=weight_score.get)
print("Highest score without a cost:", " > ".join(map(head_name, idle)))
print(f"its score is {weight_score[idle] / baseline:.1f} times what chance gives")

# %% [markdown]
# ### Why does it do nothing?
#
# A score of weights does not know (1) whether the source ever writes along these directions, (2)
# whether it writes *different* things at different keys, (3) whether the target's attention matters
# to anybody. Each can be measured.


# %%
def strength(source: tuple[int, int], target: tuple[int, int]) -> tuple[float, float]:
    """Root mean square of a source's term in the target's scores: whole, and what is seen of it."""
    part = decompose_keys(model, tokens, *target)[1 + source[1]]
    both = (part * past, visible_scores(part))
    whole, seen = (x[:, second_copy].pow(2).mean().sqrt().item() for x in both)
    return whole, seen


def silence(z: Float[Tensor, "batch pos head d_head"], hook) -> Tensor:
    """The target writes nothing at all."""
    z[:, :, idle[1][1]] = 0.0
    return z


silenced = model.run_with_hooks(tokens, fwd_hooks=[("blocks.1.attn.hook_z", silence)])
for pair in (idle, (previous, strongest)):
    whole, seen = strength(*pair)
    print(f"{head_name(pair[0])} > {head_name(pair[1])}: its term in the scores has size {whole:.2f}; "
          f"the softmax sees {seen:.2f} of it")  # fmt: skip
print(f"Loss added when {head_name(idle[1])} is silenced altogether: "
      f"{second_copy_loss(silenced) - whole_loss:.3f} nats")  # fmt: skip

# %% [markdown]
# And the brightest cell of the first picture? The same cut, in the queries if it is a Q, in the keys
# if it is a K, in the values if it is a V.

# %%
kind, a, b = brightest
written = cache["z", 0][:, :, a] @ model.W_O[0, a]


def cut_brightest(x: Float[Tensor, "batch pos head d_head"], hook) -> Tensor:
    """Takes the source's share out of the target's queries, keys or values."""
    x[:, :, b] -= written @ getattr(model, f"W_{kind}")[1, b]
    return x


name = f"blocks.1.attn.hook_{kind.lower()}"
cut_logits = model.run_with_hooks(tokens, fwd_hooks=[(name, cut_brightest)])
print(f"{kind}, 0.{a} > 1.{b}: score {tables[kind][a, b]:.2f}, "
      f"added loss {second_copy_loss(cut_logits) - whole_loss:.3f} nats")  # fmt: skip

# %%
chapter.explain("weights_or_cause")

# %% [markdown]
# ## A real model
#
# Real models break three assumptions of this chapter at once.
#
# - **Norm.** Each layer reads a rescaled residual stream. The scale depends on everything, so the split
#   is linear only with the scale frozen as it was in this run. Weights have the norm's gain folded in.
# - **Positions.** Learned positions (GPT-2) are part of the embedding. Rotary positions (SmolLM2)
#   turn queries and keys by an angle that grows with the position: the QK matrix depends on the
#   distance between the two.
# - **Grouped keys.** In SmolLM2 three query heads share one key and value head. Cutting a path into
#   one head's keys must not change the others'; we change the scores of one head instead.
#
# `key_parts` from the package takes care of all three. First, who is who?

# %%
real = load_model("auto")
cfg = real.cfg
REAL_PERIOD = 30
generator = torch.Generator().manual_seed(0)
segment = torch.randint(1000, cfg.d_vocab - 1000, (4, REAL_PERIOD), generator=generator)
real_tokens = torch.cat([torch.full((4, 1), bos_token(real)), segment, segment], dim=1)
_, real_cache = real.run_with_cache(real_tokens, return_type=None, names_filter=for_key_parts)
real_patterns = torch.stack([real_cache["pattern", layer] for layer in range(cfg.n_layers)])
real_back = diagonal_mean(real_patterns, 1, 2).mean(1)
real_match = diagonal_mean(real_patterns, REAL_PERIOD - 1, REAL_PERIOD + 1).mean(1)
for role, scores in (("previous-token", real_back), ("induction", real_match)):
    best = strongest_heads(scores, 5)
    print(f"{role:15}", ", ".join(f"{head_name(h)} {scores[h]:.2f}" for h in best))

# %%
chapter.predict(
    "real_model", choices=["yes, the right head stands out", "no, it drowns among the others"]
)

# %%
real_scores = all_composition_scores(real, "K")
values = real_scores[real_scores > 0]
print(f"{len(values)} pairs of heads: mean {values.mean():.3f}, largest {values.max():.3f}; "
      f"chance {cfg.d_model**-0.5:.3f}")  # fmt: skip

# %% [markdown]
# The strongest induction head of this model, and all heads below it: weights against cause. Cause is
# the attention that the head loses on the right token when one writer's term is taken out of its
# scores.


# %%
splits: dict[tuple[int, int], dict[str, Tensor]] = {}


def split_scores(head: tuple[int, int]) -> dict[str, Float[Tensor, "batch q k"]]:
    """A head's scores by writer, computed once."""
    if head not in splits:
        splits[head] = key_parts(real, real_cache, *head)
    return splits[head]


def cut_effects(layer: int, head: int) -> dict[str, float]:
    """For every writer: induction attention that the head loses without its part of the keys."""
    scores = real_cache["attn_scores", layer][:, head]

    def matched(scores: Float[Tensor, "batch q k"]) -> float:
        pattern = scores.softmax(-1)
        return diagonal_mean(pattern, REAL_PERIOD - 1, REAL_PERIOD + 1).mean().item()

    whole = matched(scores)
    parts = split_scores((layer, head))
    return {name: whole - matched(scores - part) for name, part in parts.items()}


real_target = strongest_heads(real_match, 1)[0]
effects = cut_effects(*real_target)
below = [(layer, h) for layer in range(real_target[0]) for h in range(cfg.n_heads)]
feeds = real_scores[:, :, real_target[0], real_target[1]]
plot_scatter(
    [feeds[h].item() for h in below],
    [effects[head_name(h)] for h in below],
    f"Keys of {head_name(real_target)}: weights against what cutting does",
    labels=[head_name(h) for h in below],
    x_title="K-composition score",
    y_title="induction attention lost",
)

# %%
total = sum(split_scores(real_target).values())
scores = real_cache["attn_scores", real_target[0]][:, real_target[1]]
error = (total - scores).tril().nan_to_num(0.0, neginf=0.0).abs().max()
print(f"The parts sum to the scores: largest error {error:.1e}")
print(f"{head_name(real_target)} attends {real_match[real_target]:.2f} to the right token.")

# %% [markdown]
# The same with MLPs, and with one number more: what each writer *adds* to the score of the right key,
# above its mean over the query's other keys.

# %%
lift = {
    name: diagonal_mean(visible_scores(part), REAL_PERIOD - 1, REAL_PERIOD + 1).mean().item()
    for name, part in split_scores(real_target).items()
}
print("writer    lost when cut   added to the right key   composition score")
for name in sorted(effects, key=effects.get, reverse=True)[:6]:
    layer, _, index = name.partition(".")
    known = f"{feeds[int(layer), int(index)]:.3f}" if index else "(not a head)"
    print(f"{name:8} {effects[name]:14.2f} {lift[name]:24.2f}   {known:>17}")

# %% [markdown]
# *What to see:* in the picture, whether the points far to the right are also the points far up. In the
# table, whether everything that costs attention when cut is a head (an MLP has no composition score),
# and whether it *adds* anything to the right key. A writer that costs much and adds nothing does
# not say where to look. It may cancel what someone else wrote at a wrong key, and taking it out to
# zero is a brutal cut: chapter 07 compares it with gentler ones.
#
# ### One source for many
#
# Does every induction head have its own previous-token head? For the strongest ones, which *head* hurts
# most when cut, and which has the highest score?

# %%
agree = 0
for head in strongest_heads(real_match, 6):
    head_effects = {n: e for n, e in cut_effects(*head).items() if "." in n}
    by_cause = max(head_effects, key=head_effects.get)
    by_weight = head_name(strongest_heads(real_scores[:, :, head[0], head[1]], 1)[0])
    agree += by_cause == by_weight
    print(f"{head_name(head):6} attention {real_match[head]:.2f}   "
          f"by cause {by_cause:6} (loses {head_effects[by_cause]:.2f})   by weight {by_weight}")  # fmt: skip
print(f"weights and cause name the same head for {agree} of 6")

# %% [markdown]
# ### High scores without effect
#
# The largest K-composition scores of the whole model, and how much of the target's attention moves
# when the path is cut. The last column says how much the target attends to the first position: a head
# that rests there on this text has nothing to lose.

# %%
order = real_scores.flatten().argsort(descending=True)[:10].tolist()
print("pair             score   attention moved   target rests on the first token")
for index in order:
    a, b = (divmod(i, cfg.n_heads) for i in divmod(index, cfg.n_layers * cfg.n_heads))
    scores = real_cache["attn_scores", b[0]][:, b[1]]
    part = split_scores(b)[head_name(a)]
    pattern = scores.softmax(-1)
    shift = (pattern - (scores - part).softmax(-1)).abs().sum(-1)[:, 1:].mean() / 2
    name = f"{head_name(a)} > {head_name(b)}"
    print(f"{name:14} {real_scores[(*a, *b)]:7.3f} {shift:17.2f} {pattern[:, 1:, 0].mean():20.2f}")

# %% [markdown]
# *What to see:* pairs with nearly the same score, some of which move half of the attention and some of
# which move nothing. Where keys are shared, heads of one group read with the same $W_K$; a source that
# feeds one of them *fits* the others too, whether they use it or not.
#
# ### And rotary positions?
#
# The score was computed as if query and key stood at the same place. At another distance the queries
# are turned against the keys, so the QK matrix is another one. Does the score notice?

# %%
source = strongest_heads(real_scores[:, :, real_target[0], real_target[1]], 1)[0]
sender, receiver = head_circuits(real, *source), head_circuits(real, *real_target)
turns = f"blocks.{real_target[0]}.attn.hook_"
if turns + "cos" in real_cache:
    for distance in (0, 1, 5, 20, 60):
        cos, sin = (real_cache[turns + name][0, distance] for name in ("cos", "sin"))
        turned = receiver._replace(W_Q=turn(receiver.W_Q, cos, sin))
        print(f"distance {distance:2}: {composition_score('K', sender, turned):.4f}")
else:
    print("This model has no rotary positions: its QK matrix is the same at every distance.")

# %% [markdown]
# Where the numbers hardly differ, this is why: a turn mixes dimensions *inside* the head. Which
# directions of the residual stream the keys read is up to $W_K$, and that stays. Where the head looks
# depends on the distance; whom it can hear, much less.

# %%
chapter.progress()

# %% [markdown]
# ## What was measured, and what the literature says
#
# - In `induction-2l` the composition score singles out the keys of the induction head for the
#   previous-token head. It was there before the skill. But the highest scores of the model belong to
#   pairs that do nothing.
# - Random heads score $1/\sqrt{d_{model}}$, whatever their width; narrow ones scatter widely. Elhage et
#   al. 2021 subtract this baseline and find, in a two-layer model, essentially K-composition with a
#   previous-token-like head. (Their erratum says that a bug had hidden a second source in that figure:
#   a head that attends to the last several tokens.)
# - The path expansion is exact, and blind to composition through patterns, since it freezes them.
# - Splitting the keys shows who put the match there, and cutting the path proves it.
# - On the real model the cells above say how far this carries: whether weights and cause name the
#   same head, which pairs fit and do nothing, and which writers are no heads.
#
# **How to use it.** Weights are cheap: all pairs of a model in seconds. Use them to choose what to cut.
# Never report a score alone.
#
# ## Where to go on
#
# - **06 Indirect object identification**: a circuit in which heads compose through queries as well.
# - **07 Activation patching**: path patching, which is this chapter's cut with another input's
#   activation in place of nothing at all.
