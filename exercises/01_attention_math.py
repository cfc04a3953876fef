# %% [markdown]
# # 01 Attention math
#
# **You will be able to** write an attention layer from its formulas and have it agree with torch
# and with a real language model; take each head apart into the two matrices that decide where it
# looks and what it writes; and read what a one-layer transformer has learned from its weights
# alone, including a mistake it cannot help making.
#
# **Time** 100 to 120 minutes. **You need** chapter 00. **Models** `skip-trigram-1l`, one layer
# trained on word sequences whose rules we planted ourselves, and a real language model.
#
# Three questions from chapter 00 first.

# %%
import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from transformer_lens import FactoredMatrix

from circuits_course import Chapter, load_model
from circuits_course.data import SkipTrigram
from circuits_course.models import checkpoints, find_recipe
from circuits_course.plots import plot_attention, plot_bars, plot_lines, plot_matrix

torch.set_grad_enabled(False)
chapter = Chapter("01_attention_math")

# %%
chapter.quiz("einsum_axis")

# %%
chapter.quiz("pattern_row")

# %%
chapter.quiz("hook_or_cache")

# %% [markdown]
# ## A model whose rules we know
#
# `skip-trigram-1l` reads sequences of words. Most follow a fixed table of bigrams: which word
# tends to come after which. Into this we planted eight **skip-trigrams**: if *source* stood
# anywhere before, and *dest* stands here now, then *out* tends to come next, as in **keep** (the
# dog) **in mind**. Between source and dest anything may stand.

# %% tags=["nbval-check-output"]
model = load_model("skip-trigram-1l")
data = find_recipe("skip-trigram-1l").data
print(f"{model.cfg.n_layers} layer, {model.cfg.n_heads} heads, {model.cfg.d_vocab} words")
for trigram in data.planted:
    print(f"{trigram.source:>6} ... {trigram.dest} {trigram.out}")

# %% [markdown]
# To continue "keep the dog in" with "mind", the model must bring "keep" from three words back to
# the word "in". Only attention moves anything between positions. So how does it choose what to
# move, and what does it move?
#
# ## Who fits whom? Scores
#
# Each position makes two short vectors of `d_head` numbers out of what it knows: a **query**,
# which says what it is looking for, and a **key**, which says what it has to offer. How well a
# key answers a query is their dot product. At position $i$ looking at position $j$:
#
# $$\text{score}_{ij} = \frac{q_i \cdot k_j}{\sqrt{d_\text{head}}}$$
#
# Leave the square root for a moment; we come to it next.
#
# ### One number for every pair
#
# The result has one row for each query and one column for each key.

# %% exercise="attention_scores"

# %% [markdown]
# The model's own queries and keys are in its cache, as `[batch, pos, head, d_head]`. Does your
# function give the model's scores? The cache has the scores *after* the future was masked, so we
# compare the rest.

# %% tags=["nbval-check-output"]
tokens = model.to_tokens("keep the dog in")
words = model.to_str_tokens(tokens)
logits, cache = model.run_with_cache(tokens)
q, k, v = (rearrange(cache[name, 0], "b p head d -> b head p d") for name in ("q", "k", "v"))
scores = attention_scores(q, k)
allowed = torch.ones(5, 5).tril().bool()
gap = (scores - cache["attn_scores", 0])[..., allowed].abs().max()
print("agrees with the model's scores:", bool(gap < 1e-4))

# %% [markdown]
# ## Why the square root?
#
# A dot product is a sum of `d_head` products. If the entries of $q$ and $k$ are independent with
# mean 0 and variance 1, as they roughly are before training, each product has mean 0 and variance
# 1 too.

# %%
chapter.predict(
    "long_vectors",
    choices=[
        "it stays",
        "it doubles",
        "it becomes four times as large",
        "it becomes 48 larger",
    ],
)

# %% [markdown]
# ### Measure it
#
# Draw many random queries and keys, and measure the variance of their scores, with the scaling
# and without.

# %% exercise="score_variance"

# %%
sizes = [2, 4, 8, 16, 32, 64, 128, 256]
plot_lines(
    {
        "dot product": [score_variance(d, 4000, False, seed=0) for d in sizes],
        "divided by sqrt(d_head)": [score_variance(d, 4000, True, seed=0) for d in sizes],
    },
    "Variance of a random score",
    x=sizes,
    x_title="d_head",
    y_title="variance",
    log_x=True,
    log_y=True,
)

# %% [markdown]
# *What to see:* the variance of the bare dot product is `d_head` itself, a straight line of slope
# 1; divided by the root it stays at 1.
#
# And if it did not? Scores go through a softmax, which turns them into shares. Give it 32 random
# scores and see how large the largest share is.


# %%
def largest_share(d_head: int, scaled: bool) -> float:
    """The largest attention weight among 32 random keys, on average over 500 random queries."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(500, 1, d_head, generator=generator)
    k = torch.randn(500, 32, d_head, generator=generator)
    scores = (q * k).sum(-1) / (d_head**0.5 if scaled else 1)
    return scores.softmax(-1).max(-1).values.mean().item()


plot_lines(
    {
        "dot product": [largest_share(d, False) for d in sizes],
        "divided by sqrt(d_head)": [largest_share(d, True) for d in sizes],
    },
    "How much of a random query's attention goes to one of 32 random keys",
    x=sizes,
    x_title="d_head",
    y_title="largest share",
    log_x=True,
)

# %% [markdown]
# *What to see:* without the root, a large head attends to nearly one key alone before it has
# learned anything. A softmax in that state hardly reacts to a change of its scores, so there is
# next to no gradient to learn from. This is the reason given by Vaswani et al. (2017, "Attention
# Is All You Need", section 3.2.1, with the variance in a footnote). A *trained* head may make its
# scores as large as it likes; the root is about where it starts.

# %%
chapter.explain("why_the_root")

# %% [markdown]
# ## No looking ahead
#
# The model is trained to predict the next word at every position at once. A position that could
# look at the next word would have nothing to learn. So every key in the future of a query has to
# be hidden.

# %%
chapter.predict(
    "zero_or_infinity",
    choices=[
        "none",
        "as much as an allowed key with score 0",
        "more than every allowed key",
    ],
)

# %% [markdown]
# ### The mask

# %% exercise="causal_mask"

# %% [markdown]
# ## From scores to attention
#
# Now the shares. Each query has one unit of attention and shares it out over the keys that it may
# see:
#
# $$\text{pattern}_{ij} = \frac{e^{\text{score}_{ij}}}{\sum_{j' \le i} e^{\text{score}_{ij'}}}$$

# %%
chapter.predict("first_row", choices=["itself, entirely", "nothing", "it depends on its key"])

# %% exercise="attention_pattern"

# %%
pattern = attention_pattern(scores)
print("largest difference from the model's pattern:",
      f"{(pattern - cache['pattern', 0]).abs().max().item():.0e}")  # fmt: skip
plot_attention(words, pattern[0], "Attention of skip-trigram-1l, by your functions")

# %% [markdown]
# *What to see:* the last row is the word "in". Head 0 spends nearly all of its attention there on
# "keep", and hardly any from "the" or "dog". Head 1 looks at "keep" from all of them. Where
# nothing draws a head, it rests on `BOS`: it cannot look nowhere. And looking is not yet doing:
# what a look is worth depends on what is carried home.
#
# ## What is carried home
#
# A third vector per position, the **value**, says what a key hands over to whoever looks at it.
# Each query takes the sum of all values, weighted by its attention: $z_i = \sum_j
# \text{pattern}_{ij}\, v_j$.

# %% exercise="mix_values"

# %% [markdown]
# These functions are all of attention's arithmetic. Two independent witnesses: torch's own
# implementation, written in C++ and called in one line, and the model's cache.

# %% tags=["nbval-check-output"]
z = mix_values(pattern, v)
torchs = F.scaled_dot_product_attention(q, k, v, is_causal=True)
models = rearrange(cache["z", 0], "b p head d -> b head p d")
print("agrees with torch:    ", torch.allclose(z, torchs, atol=1e-5))
print("agrees with the model:", torch.allclose(z, models, atol=1e-5))

# %% [markdown]
# ## A real model: two surprises
#
# Now the same with a language model. Which one depends on your machine; the line it prints says
# so.

# %%
real = load_model("auto")
real_tokens = real.to_tokens("When John and Mary went to the store, John gave a drink to")
_, real_cache = real.run_with_cache(real_tokens)
layer = real.cfg.n_layers // 2
for name in ("q", "k", "v", "pattern"):
    print(f"{name:8}", list(real_cache[name, layer].shape))

# %% [markdown]
# ### First surprise: fewer keys than queries
#
# If the line of `k` above shows fewer heads than that of `q`, your model has **grouped keys**
# (grouped-query attention, Ainslie et al. 2023, section 2.2): several neighbouring query heads
# share one key head and one value head. It saves memory when text is generated. To compute, hand
# each query head the keys of its group. In a model without groups your function has nothing to
# do.

# %% exercise="expand_grouped_keys"

# %% [markdown]
# ### Second surprise: positions that turn
#
# `skip-trigram-1l` adds a vector for each position to what queries and keys read. Many newer
# models use **rotary positions** instead (Su et al. 2021, "RoFormer", section 3.2): each query
# and key is cut into pairs of numbers, and each pair is *turned* by an angle that grows with the
# position. Turning both by the same angle leaves their dot product alone, so only the difference
# of the two positions counts:


# %% tags=["nbval-check-output"]
def turn(pair: Tensor, angle: float) -> Tensor:
    """Turn two numbers, seen as a point in the plane, by an angle in radians."""
    c, s = torch.tensor(angle).cos(), torch.tensor(angle).sin()
    return torch.stack([c * pair[0] - s * pair[1], s * pair[0] + c * pair[1]])


query, key = torch.tensor([1.0, 0.5]), torch.tensor([0.25, 1.0])
for i, j in [(3, 1), (10, 8), (10, 3)]:
    score = turn(query, 0.3 * i) @ turn(key, 0.3 * j)
    print(f"query at {i:2}, key at {j}, offset {i - j}: score {score:.3f}")

# %%
chapter.predict(
    "rotation",
    choices=["nowhere", "where a position looks at itself", "everywhere"],
)

# %% [markdown]
# TransformerLens gives both: `hook_q` and `hook_k` before the turn, `hook_rot_q` and `hook_rot_k`
# after. Your functions, on both, against the model's own pattern:


# %%
def real_heads(name: str, layer: int) -> Float[Tensor, "batch head pos d_head"]:
    """Queries, keys or values of the real model, one per query head."""
    grouped = real_cache[name, layer].float()
    full = expand_grouped_keys(grouped, real.cfg.n_heads)
    return rearrange(full, "b p head d -> b head p d")


rotary = real.cfg.positional_embedding_type == "rotary"
turned = "rot_" if rotary else ""
before = attention_scores(real_heads("q", layer), real_heads("k", layer))
after = attention_scores(real_heads(f"{turned}q", layer), real_heads(f"{turned}k", layer))
same_position = (before - after).diagonal(dim1=-2, dim2=-1).abs().max().item()
print("rotary positions:", rotary)
print(f"the turn changes a score by up to {(before - after).abs().max().item():.2g}, "
      f"and where a position looks at itself by {same_position:.0e}")  # fmt: skip

# %%
for layer in (0, real.cfg.n_layers // 2, real.cfg.n_layers - 1):
    scores = attention_scores(real_heads(f"{turned}q", layer), real_heads(f"{turned}k", layer))
    pattern = attention_pattern(scores)
    z = rearrange(mix_values(pattern, real_heads("v", layer)), "b head p d -> b p head d")
    gaps = [(pattern - real_cache["pattern", layer]).abs().max().item(),
            (z - real_cache["z", layer]).abs().max().item()]  # fmt: skip
    print(f"layer {layer:2}: largest difference of a pattern {gaps[0]:.0e}, of z {gaps[1]:.0e}")

# %% [markdown]
# Every head of a model trained by others on billions of words runs on the functions you have
# written.
#
# ## Many heads: a sum
#
# Each head ends by writing its $z$ back into the residual stream, the vector of `d_model` numbers
# that each position carries through the model, through its own output matrix $W_O$. What do
# several heads make together? Papers lay the heads end to end and multiply by one large matrix.
# It is the same thing, and far easier to think about, to say: **each head writes, and the writes
# are added up** (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", section
# "Attention Heads are Independent and Additive").
#
# ### A whole layer

# %% exercise="multi_head_attention"

# %% [markdown]
# To compare with the model, mind one difference: its queries and keys also see positions, and
# your function has only `x`. So we run the model with positions switched off, by a hook on the
# place where they come in.


# %%
def switch_off(positions, hook):
    return torch.zeros_like(positions)


weights = [getattr(model, name)[0] for name in ("W_Q", "W_K", "W_V", "W_O")]
mine = multi_head_attention(cache["embed"], *weights)
with model.hooks(fwd_hooks=[("hook_qk_pos", switch_off)]):
    _, blind_cache = model.run_with_cache(tokens)
for name, other in [("without", blind_cache), ("with", cache)]:
    gap = (mine - other["attn_out", 0]).abs().max().item()
    print(f"largest difference from the model {name} positions: {gap:.2g}")
print(f"largest number the layer writes: {cache['attn_out', 0].abs().max().item():.2g}")

# %% [markdown]
# And papers' way, end to end and one large matrix, against the sum of heads:

# %% tags=["nbval-check-output"]
end_to_end = rearrange(cache["z", 0], "batch pos head d_head -> batch pos (head d_head)")
stacked = rearrange(model.W_O[0], "head d_head d_model -> (head d_head) d_model")
one_by_one = einsum(
    cache["z", 0],
    model.W_O[0],
    "batch pos head d_head, head d_head d_model -> head batch pos d_model",
)
print("the same:", torch.allclose(end_to_end @ stacked, one_by_one.sum(0), atol=1e-5))

# %%
plot_matrix(
    one_by_one[:, 0].norm(dim=-1),
    "How much each head writes",
    x_labels=words,
    x_title="position",
    y_title="head",
    unit="length of the written vector",
)

# %% [markdown]
# *What to see:* head 0 hardly writes anything until "in", where it speaks up; head 1 writes a
# little everywhere. Neither has to ask the other: whoever has something to say adds it.
#
# ## Where to look: one matrix
#
# Look at a score again. With $x_i$ as a row vector, $q_i = x_i W_Q$ and $k_j = x_j W_K$. So the
# bare dot product is
#
# $$q_i \cdot k_j = x_i\, W_Q W_K^{T}\, x_j^{T} = x_i\, W_{QK}\, x_j^{T}$$
#
# Queries and keys are only a way to compute it. What the head *is*, as far as looking goes, is
# the one matrix $W_{QK}$. (Elhage et al. multiply column vectors from the left, so their matrices
# stand transposed. Ours follow TransformerLens: rows are the query side.)

# %%
chapter.predict("rank", choices=["d_model", "d_head", "2 x d_head"])

# %% [markdown]
# ### The QK circuit
#
# A product with so low a rank should not be multiplied out. `FactoredMatrix(A, B)` keeps the two
# factors and behaves like $AB$: it has a `shape`, multiplies, and finds its singular values in
# the small space. `.AB` multiplies out, where you want to look at it.

# %% exercise="qk_circuit"

# %% [markdown]
# How much smaller is it, and does the low rank show? One head of the real model. (Its key matrix
# is that of its group.)

# %%
head, layer = 4, real.cfg.n_layers // 2
W_Q, W_K = real.W_Q[layer, head], real.W_K[layer]
W_K = W_K[head * len(W_K) // real.cfg.n_heads]
qk = qk_circuit(W_Q, W_K)
print(f"W_QK has {qk.shape[0] * qk.shape[1]:,} entries; its factors {W_Q.numel() + W_K.numel():,}")
plot_lines(
    {"singular values of W_QK, multiplied out": torch.linalg.svdvals(qk.AB).clamp_min(1e-9)},
    f"Head {layer}.{head} of the real model reads few directions",
    x_title="number of the singular value",
    y_title="singular value",
    markers={"d_head": real.cfg.d_head},
    log_y=True,
)

# %% [markdown]
# *What to see:* a cliff at `d_head`. What is beyond is rounding error. Of the directions in the
# residual stream, this head can compare `d_head` at most; to the others it is blind.
#
# ## What to write: another matrix
#
# A head that attends to position $j$ alone writes $x_j W_V W_O$. Again two matrices that never
# occur apart.
#
# ### The OV circuit

# %% exercise="ov_circuit"

# %% [markdown]
# The two circuits ask different questions and share no weights. In a model of one layer the input
# is a word's row of $W_E$, so both can be written out **in words**: $W_E W_{QK} W_E^{T}$ says how
# strongly each word as query is drawn to each word as key; $W_E W_{OV} W_U$ says what looking at
# each word does to the logit of each word. Here are the rows and columns that the planted rules
# speak of.

# %%
sources, dests, outs = (
    list(dict.fromkeys(getattr(t, role) for t in data.planted))
    for role in ("source", "dest", "out")
)
ids = {word: model.to_single_token(word) for word in model.cfg.vocabulary}
qk_words = model.W_E @ qk_circuit(model.W_Q[0], model.W_K[0]).AB @ model.W_E.T  # [head, query, key]
ov_words = model.W_E @ ov_circuit(model.W_V[0], model.W_O[0]).AB @ model.W_U  # [head, source, out]


def named(table: Float[Tensor, "head row column"], rows: list[str], columns: list[str], **titles):
    """The named rows and columns of a table of words, all heads below each other."""
    cut = table[:, [ids[w] for w in rows]][:, :, [ids[w] for w in columns]]
    return plot_matrix(
        rearrange(cut, "head row column -> (head row) column"),
        y_labels=[f"{head}:{row}" for head in range(len(table)) for row in rows],
        x_labels=columns,
        diverging=True,
        **titles,
    )


named(
    qk_words / model.cfg.d_head**0.5, dests, sources,
    title="Where to look: scores of dest words with source words",
    x_title="key (source)", y_title="head:query (dest)", unit="score",
)  # fmt: skip

# %%
named(
    ov_words, sources, outs,
    title="What to write: what looking at a source word adds to each logit",
    x_title="out", y_title="head:word looked at (source)", unit="logits",
)  # fmt: skip

# %% [markdown]
# *What to see:* in the first picture, head 0 draws each dest to its own sources; head 1 has much
# to say about "for" alone. In the second, looking at a source raises its own outs. We have found
# the rules in the weights, without running the model once. One row of the second picture should
# give you pause: "keep" raises *two* words in the same head. Remember it.

# %%
chapter.explain("two_circuits")

# %% [markdown]
# ## Freeze the pattern, and all is linear
#
# Where is attention's nonlinearity? In the softmax, so in the pattern. *Given* the pattern, what
# a head writes is
#
# $$\text{write}_i = \sum_j \text{pattern}_{ij}\; x_j\, W_{OV}$$
#
# with $x$ in it once.

# %%
chapter.predict("frozen", choices=["always", "if the pattern is held fixed", "never"])

# %% [markdown]
# ### Mix positions, change vectors

# %% exercise="frozen_attention"

# %% [markdown]
# Cut the input of our layer in two: `a` holds the word "keep" alone, `b` everything else.

# %%
x = cache["embed"]
a = torch.zeros_like(x)
a[:, words.index("keep")] = x[:, words.index("keep")]
b = x - a
W_OV = ov_circuit(model.W_V[0], model.W_O[0]).AB
frozen = [frozen_attention(cache["pattern", 0], part, W_OV) for part in (a, b, x)]
anew = [multi_head_attention(part, *weights) for part in (a, b, x)]
for name, (of_a, of_b, of_x) in [("pattern held fixed", frozen), ("pattern computed anew", anew)]:
    print(f"{name:22} a and b apart, against x at once: "
          f"differ by {(of_a + of_b - of_x).abs().max().item():.1g}")  # fmt: skip
model_writes = rearrange(one_by_one, "head batch pos d_model -> batch head pos d_model")
agrees = torch.allclose(frozen[2], model_writes, atol=1e-4)
print("agrees with what the model's heads wrote:", agrees)

# %% [markdown]
# This is worth more than it seems. With patterns held fixed, everything that a model without MLPs
# does is a sum of products of matrices, and sums can be taken apart. (Elhage et al. 2021 build
# their whole method on this.)
#
# ## The logits as a sum of paths
#
# `skip-trigram-1l` has one layer, no MLP and no norm. At its end each position carries the word's
# own embedding plus what each head wrote, and all of it is multiplied by $W_U$:
#
# $$\text{logits} = \underbrace{W_E W_U}_{\text{direct path}}
# + \sum_h \underbrace{A_h\, W_E W_{OV}^h W_U}_{\text{head } h}$$
#
# (each for the words at hand; $A_h$ is head $h$'s pattern). The direct path sees the present word
# alone, so all it can know is which word tends to follow which: bigrams. Everything else must
# come through a head.
#
# ### Cut the logits

# %% exercise="head_paths"

# %% [markdown]
# "keep the dog in": who says what comes next?

# %%
paths = head_paths(model, tokens)
total = paths["direct"] + paths["heads"].sum(0)
print(f"sum of paths against the model's logits: {(total - logits).abs().max().item():.0e}")
shares = {"direct": paths["direct"], **{f"head{h}": p for h, p in enumerate(paths["heads"])}}
best = logits[0, -1].topk(4).indices.tolist()
plot_matrix(
    torch.stack([share[0, -1, best] for share in shares.values()]),
    'After "keep the dog in": each path\'s part of the four highest logits',
    x_labels=[model.cfg.vocabulary[token] for token in best],
    y_labels=list(shares),
    x_title="next word",
    y_title="path",
    unit="logits",
    diverging=True,
)

# %% [markdown]
# *What to see:* the direct path knows what follows "in" and has a favourite of its own. Head 0
# brings in what "keep" has to say: "mind", and, about as strongly, "bay". Only the sum puts
# "mind" first.
#
# What is each path worth over the whole of the data? Take fresh sequences and predict with fewer
# and fewer paths.

# %%
fresh = data.batch(256, torch.Generator().manual_seed(7))
paths = head_paths(model, fresh)


def loss(logits: Float[Tensor, "batch pos d_vocab"]) -> float:
    """Mean loss of the next word, in nats."""
    return model.loss_fn(logits, fresh).item()


worth = {
    "no path: a guess": loss(torch.zeros_like(paths["direct"])),
    "direct path": loss(paths["direct"]),
    **{f"direct and head {h}": loss(paths["direct"] + p) for h, p in enumerate(paths["heads"])},
    "all": loss(paths["direct"] + paths["heads"].sum(0)),
}
plot_bars(worth, "Loss of the next word with some of the paths", y_title="loss, nats")

# %% [markdown]
# *What to see:* bigrams are most of what there is to gain; the heads add what bigrams cannot
# know. That is a fact about our data, not about attention: for a language model of two layers
# Elhage et al. (2021, section "Term Importance Analysis") report the opposite, with the heads
# worth more than the direct path.
#
# ## Read the rules from the weights
#
# Now the other way round. Suppose nobody had told us what was planted. Could we list the
# skip-trigrams?
#
# For one head, `[source] ... [dest] -> [out]` needs two things: at *dest* the head must look at
# *source* (QK circuit), and looking at *source* must raise *out* (OV circuit). Its strength is
# their **product**.
#
# A score is no strength by itself: adding a constant to a row of scores changes nothing, as the
# softmax divides it out. So turn scores into attention first, for a context that prefers nobody:
# one in which every word of the vocabulary stands once.
#
# $$\text{strength}(s, d, o) = \text{attention}(d \to s) \times \left(W_E W_{OV} W_U\right)_{s,o}$$
#
# ### The strongest skip-trigrams

# %% exercise="top_skip_trigrams"

# %% [markdown]
# For every source word, the four strongest of each head. One thing first: `BOS` never comes
# *next* in the data, its logit is low whatever the heads do, and so nothing in training held
# their hands here. What the loss does not touch is arbitrary; we leave `BOS` out.

# %% tags=["nbval-check-output"]
planted = {(t.source, t.dest, t.out) for t in data.planted}
found: dict[tuple[str, str, str], float] = {}
for source in sources:
    for head in range(model.cfg.n_heads):
        rows = top_skip_trigrams(model, head, source, 12)
        for dest, out, strength in [row for row in rows if row[1] != "BOS"][:4]:
            if strength > 1.0:
                found[source, dest, out] = found.get((source, dest, out), 0.0) + strength
for (source, dest, out), strength in sorted(found.items(), key=lambda item: -item[1]):
    mark = "planted" if (source, dest, out) in planted else ""
    print(f"{source:>6} ... {dest:5} {out:9} {strength:4.1f} logits  {mark}")
print(f"\nplanted and found: {len(planted & found.keys())} of {len(planted)}")

# %% [markdown]
# From the weights alone: all of what we planted. Now look at the rows without a mark. The weak
# ones at the end come from a head that raises nearly every word on seeing "take"; adding the same
# to all logits changes nothing. The strong ones are another matter.
#
# ## The bug

# %%
chapter.predict("the_bug", choices=["it lowers it", "it raises it", "nothing"])

# %% [markdown]
# A head's strength is a product $f(s, d) \cdot g(s, o)$. With the source given, every dest that
# looks gets every out that is written. As a table of dest by out it has **rank one**, whatever
# the weights. But two planted rules of one source make a table of rank *two*: "in" wants "mind"
# and not "bay", "at" wants "bay" and not "mind". One head cannot hold it. Elhage et al. (2021, in
# their part on one-layer models) drew this from the algebra, with this very example, and called
# it a skip-trigram bug.


# %%
def strengths(source: str) -> Float[Tensor, "head dest out"]:
    """The table of one source, for the dests and outs that it was planted with."""
    own = [t for t in data.planted if t.source == source]
    rows, columns = [ids[t.dest] for t in own], [ids[t.out] for t in own]
    attention = (qk_words / model.cfg.d_head**0.5).softmax(-1)[:, rows, ids[source]]
    return einsum(attention, ov_words[:, ids[source], columns], "head d, head o -> head d o")


for source in ("keep", "take"):
    table = strengths(source)
    for name, part in [*((f"head {h}", t) for h, t in enumerate(table)), ("both", table.sum(0))]:
        large, small = torch.linalg.svdvals(part).tolist()
        print(f'"{source}", {name:6}: singular values {large:5.2f} and {small:5.2f}')

# %% [markdown]
# Each head has one singular value that is not zero: rank one. Their sum may have two. For which
# of the two words has the model used both its heads?
#
# ### Does it happen when the model runs?
#
# Weights are an argument, not yet an experiment. For each source with two rules, the four ways to
# combine its dests and outs; what the model says, averaged over the words that may stand between;
# and what is true of the data.

# %%
pairs = [
    SkipTrigram(a.source, a.dest, b.out)
    for a in data.planted for b in data.planted if a.source == b.source in ("take", "keep")
]  # fmt: skip


def truth(trigram: SkipTrigram) -> float:
    """True probability of out after source ... dest."""
    return data.next_token[ids[trigram.source], ids[trigram.dest], ids[trigram.out]].item()


print("                         model   truth")
for trigram in pairs:
    is_planted = (trigram.source, trigram.dest, trigram.out) in planted
    name = f"{trigram.source} ... {trigram.dest} {trigram.out}"
    print(f"{name:23} {data.probability(model, trigram):7.3f} {truth(trigram):7.3f}"
          f"  {'planted' if is_planted else 'crossed'}")  # fmt: skip

# %% [markdown]
# The bug happens: "keep ... in bay" and "keep ... at mind" come several times as often as they
# should. The model says what its data hardly ever say, because of the shape of its weights.
#
# ### Then why is it not worse?
#
# "mind" is still far ahead of "bay" after "keep ... in". If the head cannot tell, who does? Cut
# the logits into paths, and see for each path how far the right out is ahead of the crossed one.


# %%
def lead(source: str, dest: str, right: str, crossed: str) -> Float[Tensor, " path"]:
    """By how many logits each path puts the right out ahead, averaged over words between."""
    prompts = model.to_tokens([f"{source} {word} {dest}" for word in data.fillers])
    paths = head_paths(model, prompts)
    each = torch.cat([paths["direct"][None], paths["heads"]])[:, :, -1].mean(1)
    return each[:, ids[right]] - each[:, ids[crossed]]


contests = [(a.source, a.dest, a.out, b.out) for a in data.planted for b in data.planted
            if a.source == b.source and a.out != b.out]  # fmt: skip
plot_matrix(
    torch.stack([lead(*contest) for contest in contests]),
    "Who tells the right word from the crossed one?",
    y_labels=[f"{source}…{dest}" for source, dest, _, _ in contests],
    x_labels=["direct", *(f"head{h}" for h in range(model.cfg.n_heads))],
    x_title="path",
    y_title="rule",
    unit="lead, logits",
    diverging=True,
)

# %% [markdown]
# *What to see:* in the rows of "keep", head 0, which looks at it, has nearly no lead to give, and
# it changes sides from one to the other: it cannot tell. The *direct path* can. It knows the
# dest, and puts "mind" first after "in" and "bay" after "at". In the rows of "take", the two
# heads divide the work: together they have rank two.
#
# ### Who pays?
#
# So for "keep" the model has moved the choice into the direct path, which does not know whether
# there was a "keep" at all. Then without a source, it should wrongly prefer "mind" after "in".
# That was our expectation when we wrote this chapter. Is it so?

# %%
chapter.predict(
    "no_source",
    choices=[
        "mind comes too often",
        "bay comes too often",
        "both come about as often as they should",
    ],
)

# %%
no_source = model.to_tokens([f"{a} {b} in" for a in data.fillers for b in data.fillers])
without_keep, no_source_cache = model.run_with_cache(no_source)


def tell(who: str, logits: Float[Tensor, "batch pos d_vocab"]) -> None:
    """Print the mean probability of mind and bay at the last position."""
    mind, bay = logits[:, -1].softmax(-1).mean(0)[[ids["mind"], ids["bay"]]].tolist()
    print(f'{who:24} "in mind" {mind:.3f}   "in bay" {bay:.3f}')


tell("the model", without_keep)
true_mind, true_bay = data.next_token[0, ids["in"], [ids["mind"], ids["bay"]]].tolist()
print(f'{"the data":24} "in mind" {true_mind:.3f}   "in bay" {true_bay:.3f}')

# %% [markdown]
# Nobody pays. Something takes the direct path's preference back exactly where it would be wrong.
# The direct path itself cannot (it sees the same "in"), so it must be a head. Which, and what is
# it looking at?

# %%
paths = head_paths(model, no_source)
each = torch.cat([paths["direct"][None], paths["heads"]])[:, :, -1].mean(1)
leads = each[:, ids["mind"]] - each[:, ids["bay"]]
print("lead of mind over bay, without a source:")
for name, value in zip(["direct path", "head 0", "head 1"], leads.tolist(), strict=True):
    print(f"  {name:12} {value:5.2f}")
looks = no_source_cache["pattern", 0][:, 0, -1].mean(0).tolist()
print('head 0 at "in" looks at:')
for name, look in zip(["BOS", "first filler", "next filler", "in itself"], looks, strict=True):
    print(f"  {name:12} {look:5.2f}")
objection = ov_words[0, ids["in"], ids["mind"]] - ov_words[0, ids["in"], ids["bay"]]
print(f'lead of mind over bay where head 0 looks at "in": {objection.item():.2f}')

# %% [markdown]
# There it is. Without a source, head 0 looks from "in" at "in" itself, and there it writes
# *against* "mind", as much as the direct path speaks for it. With "keep" in the context, the look
# is drawn away to "keep", and the objection falls silent.
#
# The algebra of the bug looked at one source by itself. But attention is shared out: to look at
# "keep" is to look away from something else, and what is *no longer written* depends on dest as
# well. That is a third way out, and it was not in our plan. An explanation read off the weights
# is a hypothesis, so test it: silence head 0 on these prompts.


# %%
def silence_head_0(z, hook):
    z[:, :, 0] = 0.0
    return z


tell("the model", without_keep)
tell(
    "head 0 silenced",
    model.run_with_hooks(no_source, fwd_hooks=[("blocks.0.attn.hook_z", silence_head_0)]),
)

# %% [markdown]
# Without head 0, "mind" is far too frequent after "in": the objection was its doing.
#
# ### How it got there
#
# The model was kept at several steps of its training.

# %%
steps = checkpoints("skip-trigram-1l")
at_step = [load_model("skip-trigram-1l", checkpoint=step) for step in steps]
groups = {
    "planted": [t for t in pairs if (t.source, t.dest, t.out) in planted],
    "crossed": [t for t in pairs if (t.source, t.dest, t.out) not in planted],
}
curves = {
    name: [sum(data.probability(m, t) for t in group) / len(group) for m in at_step]
    for name, group in groups.items()
}
true_share = sum(map(truth, groups["crossed"])) / len(groups["crossed"])
curves["crossed, truth"] = [true_share] * len(steps)
plot_lines(
    curves,
    "The bug comes with the rule, and is repaired after it",
    x=steps,
    x_title="training step",
    y_title="probability",
)

# %%
worst = max(curves["crossed"])
print(f"crossed: {worst:.2f} at its worst (step {steps[curves['crossed'].index(worst)]}), "
      f"{curves['crossed'][-1]:.2f} at the end, {true_share:.2f} in the data")  # fmt: skip

# %% [markdown]
# *What to see:* as the model learns the rules, the crossed words rise with the planted ones, as
# if they were rules too. Only then are they pushed down again, without reaching the truth.

# %%
chapter.explain("why_the_bug")

# %%
chapter.progress()

# %% [markdown]
# ## What you measured, what the literature says, where to go on
#
# **Measured here.** Scores without the root have variance `d_head`. Your functions give every
# pattern of a real model, once keys are shared out and turned. A layer is the sum of its heads.
# $W_{QK}$ has rank `d_head` at most. With the pattern frozen a head is linear. The logits of a
# one-layer model are exactly the direct path plus one term per head. All planted rules stand in
# the weights, and next to them rules that nobody planted, which the model follows when it runs.
#
# **In the literature.** Nearly all of this chapter is Elhage et al. (2021), "A Mathematical
# Framework for Transformer Circuits", transformer-circuits.pub/2021/framework. They argue the bug
# from the algebra of one head. What a trained model does about it is what we found in this small
# one: a second head, the direct path, and a look drawn away from an objection. It does not show
# what a large model does.
#
# **A limit.** With norm, MLPs or a second layer, what a head reads is no longer a row of $W_E$,
# and a table in words says less. Chapter 05 takes the paths of two layers apart; until then:
#
# - **02 Attention as computation**: set $W_Q$, $W_K$, $W_V$ and $W_O$ by hand, so that a head does
#   what *you* want.
# - **04 Induction heads**: what two layers can do that one cannot.
