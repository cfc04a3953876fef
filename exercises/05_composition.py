# %% [markdown]
# # 05 Composition
#
# **You will be able to** say which heads work together, and through what: from weights alone, from
# what a head's keys are made of, and by cutting a single path. And you will know when the three
# disagree, and whom to believe.
#
# **Time** about two hours. **You need** chapters 01 (QK and OV), 03 and 04 (previous-token and
# induction heads), and for one exercise 02 (a residual stream with named directions).
# **Models** `induction-2l`, a model written by hand, and at the end SmolLM2.

# %%
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix

from circuits_course import Chapter, circuits, data, load_model, show_table, verdict
from circuits_course.circuits import Basis, CutPath, HeadCircuits, HeadWeights, head_name
from circuits_course.plots import plot_attention, plot_bars, plot_lines, plot_matrix, plot_scatter

torch.set_grad_enabled(False)
chapter = Chapter("05_composition")

# %% [markdown]
# ## Before you start
#
# Three questions on earlier chapters first. Recalling is what makes it stay.

# %%
chapter.quiz("what_qk_decides")

# %%
chapter.quiz("what_previous_token_writes")

# %%
chapter.quiz("why_two_layers")

# %%
chapter.review()

# %% [markdown]
# ## The heads of this chapter
#
# `induction-2l` was trained on two kinds of sequences, half and half: random tokens that **repeat**,
# and text of a Markov **chain**, where each token depends on the one before. We take both. A circuit
# that works on one kind may lie still on the other, and whoever looks at one kind of data sees half
# of the model.

# %%
PERIOD = 25
model = load_model("induction-2l")
n_heads = model.cfg.n_heads
dice = torch.Generator().manual_seed(0)
texts = {"repeats": data.repeated_random_tokens(32, PERIOD, model.cfg.d_vocab, dice)}
texts["chain"] = data.MarkovAndRepeats().chain(32, dice)
runs = {kind: model.run_with_cache(tokens) for kind, tokens in texts.items()}


def loss_on(kind: str, logits: Float[Tensor, "batch pos d_vocab"]) -> float:
    """Mean loss in nats: on the second copies of the repeats, or on the chain from its 2nd token."""
    first = PERIOD + 2 if kind == "repeats" else 2
    return circuits.mean_losses(logits, texts[kind], first).mean().item()


# %% [markdown]
# Who is who? Four means along the attention patterns say what each head looks at.
# `circuits.diagonal_mean` averages a diagonal; `circuits.diagonal_mean??` shows how.

# %%
mean = circuits.diagonal_mean
looks = {}
for kind, (_, cache) in runs.items():
    pattern = torch.cat([cache["pattern", layer].mean(0) for layer in (0, 1)])
    looks[f"the one before, {kind}"] = mean(pattern, 1, 2)
    looks[f"itself, {kind}"] = mean(pattern, 0, 2)
    looks[f"the first token, {kind}"] = pattern[:, 2:, 1].mean(-1)
    if kind == "repeats":
        looks["after the earlier copy"] = mean(pattern, PERIOD - 1, PERIOD + 1)
all_heads = [(layer, h) for layer in (0, 1) for h in range(n_heads)]
plot_matrix(looks, "What the heads of induction-2l look at", x=("head", all_heads), y="",
            unit="mean attention")

# %% tags=["nbval-check-output"]
previous = all_heads[int(looks["the one before, repeats"].argmax())]
induction = all_heads[int(looks["after the earlier copy"].argmax())]
switch = all_heads[int(looks["the first token, chain"][:n_heads].argmax())]
bigram = all_heads[int((looks["itself, chain"] - looks["itself, repeats"]).argmax())]
roles = {"previous-token": previous, "induction": induction, "switch": switch, "bigram": bigram}
show_table({role: {"head": head_name(head)} for role, head in roles.items()})

# %% [markdown]
# *What to see:* the previous-token head 0.3 and the induction head 1.3 are old friends. The other two
# you met in chapter 03. Head 1.2 looks at the current token on chain text, where it adds that token's
# bigrams, and not on repeats. Head 0.0 looks at the first token of the text, which tells the two kinds
# apart.
#
# The cells below use the names `previous`, `induction`, `switch` and `bigram`; heads are pairs (layer,
# head).
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

# %%
from circuits_course.plots import draw

draw("three_compositions")

# %% [markdown]
# *What to see:* the blue stretch of a lane is what the lower head wrote, the orange arrow is what it changes.
# For Q it stands in the lane of who asks; for K and V in the lane of who is asked.
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
# `circuits.head_circuits(model, layer, head)` gives a head as `HeadCircuits`: a named tuple of `W_Q`,
# `W_K`, `W_V` `[d_model, d_head]` and `W_O` `[d_head, d_model]`, with the two products `.QK` and `.OV`.
#
# Which matrix belongs to which kind? Ask where $x W_{OV}$ goes. (The paper writes column vectors, so
# its products stand the other way round. The norms are the same.)

# %% [markdown]
# Your function on all pairs of this model:

# %%
lower, higher = ([circuits.head_circuits(model, la, h) for h in range(n_heads)] for la in (0, 1))
tables = {kind: torch.tensor([[composition_score(kind, a, b) for b in higher] for a in lower])
          for kind in "QKV"}
plot_matrix(torch.cat(list(tables.values()), dim=1),
            "Composition scores between the two layers of induction-2l",
            x=("how it is read, and by which head",
               [f"{kind} of 1.{h}" for kind in "QKV" for h in range(n_heads)]),
            y=("source", [f"0.{h}" for h in range(n_heads)]), unit="composition score")

# %% tags=["nbval-check-output"]
paths = [(kind, (0, a), (1, b)) for kind in "QKV" for a in range(n_heads) for b in range(n_heads)]
score = torch.stack([tables[kind][a[1], b[1]] for kind, a, b in paths])


def path_name(path: tuple) -> str:
    """("K", (0, 3), (1, 3)) -> "K 0.3 > 1.3"."""
    return f"{path[0]} {head_name(path[1])} > {head_name(path[2])}"


order = score.argsort(descending=True).tolist()
show_table([{"path": path_name(paths[i]), "score": score[i]} for i in order[:6]],
           caption="The six highest of 48", digits=2)

# %% [markdown]
# *What to see:* in the row of the previous-token head one cell is dark, the keys of the induction
# head. But three scores are higher, and the highest by far belongs to the *queries* of the
# bigram head. We come back to it.

# %%
chapter.reveal("which_kind")

# %% [markdown]
# TransformerLens computes the same numbers: `utils.composition_scores` takes two FactoredMatrix
# objects, the source on the left. (Its models have `all_composition_scores(kind)`, for all pairs at
# once; on a model with hundreds of heads that takes more memory than most laptops have. The package
# function of the same name goes layer by layer.)

# %% tags=["nbval-check-output"]
from transformer_lens import utilities as utils

read = {"Q": model.QK[1], "K": model.QK[1].T, "V": model.OV[1]}
theirs = {kind: utils.composition_scores(model.OV[0], read[kind]) for kind in "QKV"}
package = {kind: circuits.all_composition_scores(model, kind)[0, :, 1] for kind in "QKV"}
for name, other in {"TransformerLens": theirs, "the package": package}.items():
    error = max((other[kind] - tables[kind]).abs().max().item() for kind in "QKV")
    verdict(f"your scores are those of {name}", error < 1e-5)

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
drawn = {f"d_head {width}": [random_composition_baseline(size, width, 60, seed=0) for size in sizes]
         for width in (1, 4, 16)}
plot_lines(
    {"1 / sqrt(d_model)": [size**-0.5 for size in sizes]}
    | {name: [scores.mean() for scores in rows] for name, rows in drawn.items()},
    "Composition scores of random heads",
    x=("d_model", sizes),
    y="composition score",
    bands={name: ([s.quantile(0.1) for s in rows], [s.quantile(0.9) for s in rows])
           for name, rows in drawn.items()},
)

# %% tags=["nbval-check-output"]
chance = model.cfg.d_model**-0.5
wide, narrow = (random_composition_baseline(64, width, 400, seed=1) for width in (16, 1))
rows = {"1 / sqrt(64)": {"mean": chance, "root of the mean square": chance, "spread": 0.0}}
for name, scores in {"d_head 16": wide, "d_head 1": narrow}.items():
    size = scores.pow(2).mean().sqrt()
    rows[name] = {"mean": scores.mean(), "root of the mean square": size, "spread": scores.std()}
show_table(rows, caption="Random heads in 64 dimensions", digits=2)

# %% [markdown]
# *What to see:* with 16 dimensions the mean lies on $1/\sqrt{d_{model}}$, and the band (from the 10th
# to the 90th percentile) is narrow.

# %%
chapter.reveal("random_heads")

# %% [markdown]
# What is the same for every width is the root of the
# mean *square*. The mean itself falls below it for narrow heads: with one dimension the score is the
# cosine between two arrows, 0.10 on average in 64 dimensions, and anything from 0 to 0.25 happens.
#
# That matters for trained heads. A head whose weights use only a few of their dimensions scatters
# like a narrow one, so a high score of one pair is weaker evidence than the formula suggests. How many
# dimensions does a head use? One measure is the number of equally strong directions that would
# concentrate its norm as much: `circuits.directions_used`.

# %% tags=["nbval-check-output"]
used = {head_name((0, h)): circuits.directions_used(model.OV[0, h]) for h in range(n_heads)}
show_table({"directions used by OV": used}, caption="of 16", digits=1)

# %% [markdown]
# *What to see:* 0.0 and 0.1 write along hardly more than one direction. Their scores are cosines between
# two arrows, as in the lowest line of the picture, and all scores above the one of `previous`
# belong to these two. So far, those high scores may mean a circuit, or nothing.
#
# ### Does the score grow when the skill is learned?
#
# The weights of this model were kept at several steps of its training. We follow the K-composition
# score of the previous-token head with the induction head, the mean of all other pairs, and the
# attention that the induction head pays to the right token.

# %%
from circuits_course.models import checkpoints

steps, history = checkpoints("induction-2l"), []
for step in steps:
    at_step = load_model("induction-2l", checkpoint=step)
    scores = circuits.all_composition_scores(at_step, "K")[0, :, 1]
    pattern = at_step.run_with_cache(texts["repeats"])[1]["pattern", 1][:, induction[1]]
    ours, right = scores[previous[1], induction[1]], mean(pattern, PERIOD - 1, PERIOD + 1).mean()
    history.append((ours, (scores.sum() - ours) / 15, right))
names = ["previous-token to induction", "all other pairs", "attention to the right token"]
curves = dict(zip(names, torch.tensor(history).T))
plot_lines(curves, "K-composition over training", x=("training step", steps),
           y="composition score, or mean attention",
           markers={"peak": steps[curves[names[0]].argmax()]})

# %%
rows = {}
for name in (names[0], names[2]):
    ys = curves[name]
    half = next(s for s, y in zip(steps, ys) if y - ys[0] >= (ys[-1] - ys[0]) / 2)
    rows[name] = {"first": ys[0], "highest": ys.max(), "last": ys[-1],
                  "half of the rise at step": half}
show_table(rows, digits=2)

# %% [markdown]
# *What to see:* the score leaves the level of chance, and all other pairs stay near it. It does not
# rise *with* the skill: it rises first. When the head begins to look at the right token, the weights
# between the two heads have long been in place; after its peak the score even falls by a quarter. This
# is one training run of one small model, so take it as a question to ask of others.
#
# ## Composition through values: virtual heads
#
# When one head moves what another head has moved, the two act like a third head that is nowhere in
# the weights, a **virtual head** (Elhage et al. 2021, "Virtual Attention Heads"). It has an attention
# pattern and an OV matrix, both products.

# %%
draw("virtual_head")

# %% [markdown]
# *What to see:* two solid steps, and dashed the single look that they amount to.
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
basis = circuits.small_basis(seed=0)
by_hand = basis.model(*two_back(basis))
word = "cab1ade2b"
hand_tokens = by_hand.to_tokens(word)
hand_logits, hand_cache = by_hand.run_with_cache(hand_tokens)
low, high = (hand_cache["pattern", layer][0, 0] for layer in (0, 1))
plot_attention(by_hand.to_str_tokens(hand_tokens),
               torch.stack([low, high, virtual_pattern(low, high)]),
               "Two heads that look one back, and their virtual head",
               head_names=["0.0", "1.0", "virtual"])

# %% tags=["nbval-check-output"]
said = by_hand.to_str_tokens(hand_logits[0, 3:].argmax(-1), prepend_bos=False)
one, two = circuits.head_circuits(by_hand, 0, 0), circuits.head_circuits(by_hand, 1, 0)
show_table([["reads", *word[2:]], ["predicts", *said]], columns=["", *map(str, range(3, 10))])
by_kind = {f"{kind}-composition": composition_score(kind, one, two) for kind in "QKV"}
show_table({"score": by_kind | {"chance": basis.d_model**-0.5}}, digits=2)

# %% [markdown]
# *What to see:* the dark line of the virtual head lies one further from the diagonal than those of
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
plot_matrix(basis.token @ virtual.A @ (virtual.B @ basis.out.T),
            "The virtual head's OV: from the symbol read to the symbol predicted",
            x=("out direction", basis.vocabulary), y=("token direction", basis.vocabulary),
            unit="weight")

# %% [markdown]
# *What to see:* one diagonal: every symbol is read as itself and predicted as itself.
#
# ## Every path to the logits
#
# In a model without MLPs and norm, the logits are a sum over paths. In two layers there are the
# **direct path** (embedding to unembedding), one path through each head alone, and one through each
# pair of a lower and a higher head: the virtual heads. The attention patterns are taken from the full
# run and *frozen*: given where every head looks, all that is left is linear.

# %% exercise="path_expansion"

# %% tags=["nbval-check-output"]
expanded = {kind: path_expansion(model, tokens) for kind, tokens in texts.items()}
for kind, added in expanded.items():
    error = (sum(added.values()) - runs[kind][0]).abs().max().item()
    verdict(f"on {kind}, the {len(added)} paths sum to the logits", error < 1e-3)

# %% [markdown]
# Which of them matter? One answer: leave a path out and see how much the loss rises. Before you do,
# think of the five costliest paths on repeats.

# %%
chapter.predict("importance_of_previous",
                choices=["most of them", "about half", "none, or nearly none"])

# %% exercise="path_importance"

# %%
rows = {}
for kind, added in expanded.items():
    rises = path_importance(added, texts[kind])
    for path in sorted(rises, key=rises.get, reverse=True)[:5]:
        name = " > ".join(map(head_name, path)) or "direct"
        rows[kind, name] = (kind, name, rises[path], previous in path or switch in path)
show_table(list(rows.values()), columns=["kind", "path", "added loss, nats", "through 0.0 or 0.3"],
           caption="The five costliest paths on each kind of data", digits=2)

# %% [markdown]
# *What to see:* one path on each kind, a single head of layer 1 that copies or answers straight from an
# embedding: the induction head on repeats, the bigram head on the chain. All others cost less than a
# tenth of it.

# %%
chapter.reveal("importance_of_previous")

# %% [markdown]
# The same by order: how good is the model that has only the direct path, that and the single heads, or
# everything?

# %%
rows = {}
for kind, added in expanded.items():
    single = sum(value for path, value in added.items() if len(path) < 2)
    orders = {"uniform guess": torch.zeros_like(single), "direct path": added[()],
              "and single heads": single, "and virtual heads": sum(added.values())}
    rows[kind] = {name: loss_on(kind, value) for name, value in orders.items()}
show_table(rows, caption="Loss of paths up to a length, patterns frozen, in nats", digits=2)

# %% [markdown]
# *What to see:* on repeats the direct path alone is no better than guessing, for the tokens are random.
# On the chain it gets part of the way. Single heads bring nearly all of it, on both. Virtual heads
# add next to nothing.
#
# Elhage et al. 2021 (section "Term Importance Analysis") reported the same order for a two-layer model
# of English: the direct path and single heads account for most of it, virtual heads for little. So
# one may look at single heads first.
#
# And yet we know that without the previous-token head induction is dead (chapter 04), and that without
# the switch the bigrams are gone (chapter 03).

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
# The induction head, on one prompt, at the second `q`:

# %%
prompt = model.to_tokens("qxbmztqxbmzt")
symbols, second_q = model.to_str_tokens(prompt[0]), 7
parts = decompose_keys(model, prompt, *induction)
whole = model.run_with_cache(prompt)[1]["attn_scores", 1][:, induction[1]]
error = (parts.sum(0).tril() - whole.nan_to_num(neginf=0.0)).abs().max().item()
verdict("the parts sum to the scores", error < 1e-3)
writers = ["embed + pos", *(f"0.{h}" for h in range(n_heads))]
plot_matrix(parts[:, 0, second_q, : second_q + 1],
            f"Scores of the second q in head {head_name(induction)}, by who wrote the key",
            x=("key", symbols[: second_q + 1]), y=("writer", writers), unit="score",
            diverging=True)

# %% tags=["nbval-check-output"]
rows = {name: {"BOS": row[0], "x": row[2], "range over the other keys": row[[1, 3, 4, 5, 6, 7]].max() - row[[1, 3, 4, 5, 6, 7]].min()}
        for name, row in zip(writers, parts[:, 0, second_q, : second_q + 1])}
show_table(rows, columns=["BOS", "x", "range over the other keys"], digits=1)

# %% [markdown]
# *What to see:* two cells are strong. The `x` after the first `q`, +20, in the row of 0.3, the
# previous-token head; and BOS, +15, in the row of the embedding: a place to rest, which wins when
# nothing matches. Head 0.3 also wrote -11 and +6.5 beside them, for `b` and `m`: q is not at right
# angles to every other symbol. The other three rows run from -0.30 to 0.05 and are flat.

# %%
chapter.reveal("who_wrote_the_keys")

# %% [markdown]
# ### What the softmax cannot see
#
# A number added to *all* scores of a query changes nothing: the softmax compares keys with each other.
# So the size of a term says little. What counts is how it differs from key to key.

# %% exercise="visible_scores"

# %%
repeats = texts["repeats"]
parts = decompose_keys(model, repeats, *induction)
second_copy = slice(PERIOD + 1, None)
seen = visible_scores(parts)[:, :, second_copy].pow(2).mean((1, 2, 3)).sqrt()
size = parts.tril()[:, :, second_copy].pow(2).mean((1, 2, 3)).sqrt()
plot_matrix({"whole": size, "visible": seen},
            f"Score terms of {head_name(induction)}: whole, and what the softmax sees of them",
            x=("writer", writers), y="", unit="root mean square")

# %%
to_match = mean(visible_scores(parts), PERIOD - 1, PERIOD + 1).mean(-1)
plot_bars(dict(zip(writers, to_match.tolist())),
          f"What each writer adds to the score of the right key, head {head_name(induction)}",
          x="writer", y="score above the query's mean")

# %% [markdown]
# *What to see:* of all writers only the previous-token head lifts the key after the match above the
# others. This is K-composition, seen on data: the induction head finds its place by what the
# previous-token head wrote.
#
# ## Cut one path
#
# A split of scores is still a description. The experiment: remove exactly one term, from one head's
# queries, keys or values, and leave everything else running. The source head still writes; everyone
# else still reads it.

# %%
draw("cut_path", sender=head_name(switch), reader=head_name(bigram), letter="q",
     others=[head_name((1, h)) for h in range(n_heads) if (1, h) != bigram][:2])

# %% [markdown]
# *What to see:* one reading is crossed out, that of the queries of one head. What was written stays in the
# lane.

# %% exercise="cut_path"

# %% [markdown]
# The highest score of all belonged to the queries of the bigram head 1.2, for what the switch 0.0
# writes. Before you cut it, say what will happen.

# %%
chapter.predict(
    "highest_score",
    choices=["nothing, on either kind of data", "loss rises on repeats", "loss rises on the chain"],
)

# %% [markdown]
# All 48 paths, on both kinds of data, two numbers each: how far the target's attention moves when the
# path is cut (the share that lands elsewhere, from 0 to 1: `circuits.attention_moved`), and what that
# costs.

# %%
cost, moved = {}, {}
for kind, tokens in texts.items():
    logits, cache = runs[kind]
    cuts = [cut_path(model, tokens, source, target, how) for how, source, target in paths]
    cost[kind] = torch.tensor([loss_on(kind, cut.logits) - loss_on(kind, logits) for cut in cuts])
    first = PERIOD + 1 if kind == "repeats" else 2
    moved[kind] = torch.stack([
        circuits.attention_moved(cache["pattern", 1][:, target[1]], cut.pattern)[:, first:].mean()
        for (_, _, target), cut in zip(paths, cuts)
    ])


# %% tags=["nbval-check-output"]
def rows_of(chosen: list[int]) -> list[dict]:
    """A row for each path: its score, and what cutting it does on each kind of data."""
    return [{"path": path_name(paths[i]), "score": score[i], "times chance": score[i] / chance}
            | {f"{what}, {kind}": number[kind][i] for kind in texts
               for what, number in (("added loss", cost), ("moved", moved))}
            for i in chosen]


show_table(rows_of(order[:10]), caption="The ten highest scores", digits=2)

# %% [markdown]
# *What to see:* cutting Q 0.0 > 1.2 costs more than a
# nat on the chain and moves nearly all of the bigram head's attention, and on repeats nothing at all. The
# highest score of the model had found a circuit, the one of chapter 03, *through which matrix* the
# switch works: queries. Whoever had cut it on repeats alone would have called it idle, and the score a
# false alarm.

# %%
chapter.reveal("highest_score")

# %% [markdown]
# The path that the chapter began with, K 0.3 > 1.3, is the mirror image: everything on repeats, nothing
# on the chain.
#
# How large a cut is depends on what takes the write's place. Put the switch's mean over chain
# text there, and nothing happens: on that text it always writes the same. "Cut" means "replaced
# by nothing" here; chapter 07 compares replacements.

# %%
best = torch.maximum(cost["repeats"], cost["chain"])
used_by = {kind: cost[kind] > 0.1 for kind in texts}
groups = ["costs on repeats" if used_by["repeats"][i] else "costs on the chain" if used_by["chain"][i]
          else "costs nothing" for i in range(len(paths))]
plot_scatter(("composition score", score), ("attention moved, the larger of both",
                                            torch.maximum(moved["repeats"], moved["chain"])),
             "Weights against what cutting does, induction-2l",
             labels=list(map(path_name, paths)), groups=groups)

# %% [markdown]
# *What to see:* of the four paths whose cut costs more than 0.1 nats, one shows on repeats and three on
# the chain. To the right all is mixed: paths that matter beside paths that do nothing.
#
# ### Weights as a shortlist
#
# Cutting every path of a large model takes long; scores take seconds. So the proposal is: cut only the
# paths with the highest scores. What would you miss?

# %% exercise="found_by_shortlist"

# %% tags=["nbval-check-output"]
most_moved = torch.maximum(moved["repeats"], moved["chain"])
asked = {"costs over 0.1 nats": (best, 0.1), "moves over 0.1 of the attention": (most_moved, 0.1)}
rows = {name: {f"of {size} cuts": found_by_shortlist(score, effect, size, least)
               for size in (4, 8, 16, 24, 36)} for name, (effect, least) in asked.items()}
show_table(rows, caption="Share of the paths that matter, found by cutting the highest scores",
           digits=2)

# %% tags=["nbval-check-output"]
low = [i for i in order if score[i] < chance and most_moved[i] > 0.1]
idle = [i for i in order if best[i] < 0.005 and most_moved[i] < 0.02 and paths[i][0] == "K"]
show_table(rows_of(low), caption="Below chance, and yet they move attention", digits=2)
show_table(rows_of(idle[:2]), caption="Above chance, and idle on both kinds of data", digits=2)

# %% [markdown]
# *What to see:* the four that cost loss are found, after 16 cuts of 48. But K 0.3 > 1.0 and K 0.3 > 1.1 score *less*
# than two random heads would, and move 0.12 to 0.15 of their target's attention on repeats: no shortlist of 24 has
# them. And K 0.1 > 1.0, at more than twice the level of chance, does nothing on either kind of data. The score errs
# both ways.
#
# ### Why does K 0.1 > 1.0 do nothing?
#
# A score of weights does not know (1) whether the source ever writes along these directions, (2)
# whether it writes *different* things at different keys, (3) whether the target's attention matters
# to anybody. Each can be measured.

# %%
rows = {}
for _, source, target in (paths[idle[0]], ("K", previous, induction)):
    name = f"K {head_name(source)} > {head_name(target)}"
    for kind, tokens in texts.items():
        part = decompose_keys(model, tokens, *target)[1 + source[1]]
        size, seen = (x[:, PERIOD + 1 :].pow(2).mean().sqrt()
                      for x in (part.tril(), visible_scores(part)))
        rows[name, kind] = (name, kind, size, seen)
show_table(list(rows.values()), columns=["path", "kind", "size of its term in the scores", "visible"],
           caption="Root mean square", digits=2)

# %% [markdown]
# *What to see:* head 0.1 writes almost nothing that 1.0's keys could use; its term in the scores is a
# small fraction of the previous-token head's. The weights fit, and nothing is sent.

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
# - **Grouped keys.** In SmolLM2 three query heads share one key and value head. A path into one head's
#   keys is a path into its group's.
#
# `circuits.key_parts` takes care of all three. The model is SmolLM2-135M-Instruct, its weights read
# from a 4-bit file (Q4_1), every prompt after its beginning-of-sequence token `<|im_start|>`. Head
# numbers of the base model may differ.

# %%
real = load_model("auto")
REAL_PERIOD = 30
real_tokens = data.repeats_for(real, REAL_PERIOD, batch=4, seed=0)
_, real_cache = real.run_with_cache(real_tokens, names_filter=circuits.for_key_parts)
patterns = torch.stack([real_cache["pattern", layer] for layer in range(real.cfg.n_layers)])


def matched(pattern: Float[Tensor, "*head q k"]) -> Float[Tensor, "*head"]:
    """Attention from the second copy to the token after the earlier copy."""
    return circuits.diagonal_mean(pattern, REAL_PERIOD - 1, REAL_PERIOD + 1)


one_back, to_match = circuits.diagonal_mean(patterns, 1, 2).mean(1), matched(patterns).mean(1)
to_match[0] = 0.0  # a head without heads below it composes with none

# %%
scores = circuits.all_composition_scores(real, "K")
rows = {}
for role, measured in {
    "looks one back": one_back,
    "looks after the earlier copy": to_match,
}.items():
    best_heads = circuits.strongest_heads(measured, 5)
    rows[role] = {str(i): f"{head_name(h)} {measured[h]:.2f}" for i, h in enumerate(best_heads, 1)}
show_table(rows, caption="The strongest heads, and their mean attention")
pairs = scores[scores > 0]
show_table([{"pairs of heads": len(pairs), "mean K score": pairs.mean(), "highest": pairs.max(),
             "chance": real.cfg.d_model**-0.5}], digits=3)

# %% [markdown]
# *What to see:* in SmolLM2 the strongest previous-token head is 16.0 (0.89), and the strongest induction heads
# are 18.6, 17.4, 17.3, 17.5 and 18.7. The mean score of all 35,235 pairs lies just above chance; the highest
# is four times that.
#
# Now the cut. For one induction head and every writer below it we take the writer's part out of the
# head's keys and ask how much of its attention to the right token is lost. `circuits.key_cuts` does it;
# nothing has to be run again, and `circuits.key_cuts??` shows how.

# %%
chapter.predict("real_model", choices=["first or second", "in the upper tenth", "anywhere"])

# %%
chosen = circuits.strongest_heads(to_match, 5)
losses = {head: circuits.key_cuts(real, real_cache, *head, matched) for head in chosen}
target = chosen[0]
below = [(layer, h) for layer in range(target[0]) for h in range(real.cfg.n_heads)]
plot_scatter(("K-composition score", [scores[(*h, *target)] for h in below]),
             ("induction attention lost", [losses[target][head_name(h)] for h in below]),
             f"Keys of {head_name(target)}: weights against what cutting does",
             labels=list(map(head_name, below)))

# %%
rows = []
for head in chosen:
    feeds = {name: scores[(*map(int, name.split(".")), *head)] for name in losses[head]
             if "." in name}
    by_cause = sorted(feeds, key=losses[head].get, reverse=True)
    rank = sorted(feeds, key=feeds.get, reverse=True).index(by_cause[0]) + 1
    rows.append({"head": head_name(head), "attention": to_match[head], "costliest source": by_cause[0],
                 "lost": losses[head][by_cause[0]], "its rank by weight": rank, "of": len(feeds),
                 "second": by_cause[1], "it loses": losses[head][by_cause[1]]})
show_table(rows, digits=2)
verdict("for all five, the costliest source is first or second by weight",
        all(row["its rank by weight"] <= 2 for row in rows), model=real)

# %% [markdown]
# *What to see:* one previous-token head, 16.0, feeds all five, and without its part of the keys nothing is
# left of their attention to the right token. Here the weights do point at the cause, and at
# three to four times the level of chance.

# %%
chapter.reveal("real_model", model=real)

# %% [markdown]
# The one that ranks before it for 18.6 and 18.7 is 17.8, and cutting it costs them half of their
# attention or more. What is 17.8?

# %%
named_here = real.cfg.n_layers > 17 and real.cfg.n_heads > 8
second = (17, 8) if named_here else circuits.strongest_heads(one_back, 2)[1]
rows = {head_name(h): {f"{back} back": circuits.diagonal_mean(patterns[h[0], :, h[1]], back, back).mean()
                       for back in range(6)} for h in (circuits.strongest_heads(one_back, 1)[0], second)}
show_table(rows, caption="How far back two sources look: mean attention", digits=2)

# %% [markdown]
# *What to see:* 16.0 looks one back and hardly anywhere else. 17.8 spreads over the last few tokens. Elhage
# et al. 2021 met the same pair of sources in their two-layer model: their erratum says that a bug had
# hidden, beside the previous-token head, a head that attends to the last several tokens.
#
# ### What the weights missed
#
# The rest of the list, with MLPs, and with one number more: what each writer *adds* to the score of
# the right key, above its mean over the query's other keys.

# %%
head = (17, 3) if (17, 3) in chosen else target
lift = {name: matched(visible_scores(part)).mean()
        for name, part in circuits.key_parts(real, real_cache, *head).items()}
lost = circuits.key_cuts(real, real_cache, *head, matched)
swapped = circuits.key_cuts(real, real_cache, *head, matched, instead="another")
feeds = scores[:, :, head[0], head[1]]
rows = []
for name in sorted(lost, key=lost.get, reverse=True)[:7]:
    place = tuple(map(int, name.split("."))) if "." in name else None
    weight = {"K score": "no head", "rank": ""} if place is None else {
        "K score": f"{feeds[place]:.3f}", "rank": int((feeds > feeds[place]).sum()) + 1}
    rows.append({"writer": name, "lost, replaced by nothing": lost[name], "by another sequence's": swapped.get(name),
                 "added to the right key": lift[name]} | weight)
show_table(rows, caption=f"Who writes the keys of {head_name(head)}", digits=2)

# %% [markdown]
# *What to see:* for 17.3, MLP 11 comes second and is no head: it has no composition score. Head 10.8
# costs 0.14 of the attention when nothing takes its place, with a score *below* chance, behind 143
# of the 153 heads. A weights-only search would find neither.
#
# A writer that costs much and adds little to the right key does not say where to look. Taking it out to nothing is a
# brutal cut: with another sequence's write in its place, 10.8 costs next to nothing. What these keys need of it is
# the same in every text. 16.0 adds most to the right key by far, and its loss stays whatever takes its place. MLP 11
# adds nothing there and still costs 0.19 with another sequence's write: what it does for these keys is open.
#
# ### High scores without effect
#
# The largest K-composition scores of the whole model, and how much of the target's attention moves
# when the path is cut: on the repeats, and on English.

# %%
novel = data.text_tokens(real, data.passage("alice"), batch=4, length=61)
_, english_cache = real.run_with_cache(novel, names_filter=circuits.for_key_parts)
rows = []
for a, b in circuits.strongest_pairs(scores, 12):
    row = {"path": f"K {head_name(a)} > {head_name(b)}", "score": scores[(*a, *b)]}
    for kind, cache in {"repeats": real_cache, "English": english_cache}.items():
        whole = cache["attn_scores", b[0]][:, b[1]]
        cut = (whole - circuits.key_parts(real, cache, *b)[head_name(a)]).softmax(-1)
        row[f"moved, {kind}"] = circuits.attention_moved(whole.softmax(-1), cut)[:, 1:].mean()
        row[f"on BOS, {kind}"] = whole.softmax(-1)[:, 1:, 0].mean()
    rows.append(row)
show_table(rows, caption="The twelve highest K-composition scores", digits=2)

# %% [markdown]
# *What to see:* in SmolLM2 all twelve lead into induction heads or their neighbours, and on repeats ten of
# them move 0.13 to 0.49 of the attention. Two are idle on both kinds of text: 16.0 and 17.8 into **18.8**, a head that never leaves BOS
# here. It shares its keys with 18.6 and 18.7. A source that feeds one head of a group *fits* the others
# too, whether they use it or not.
#
# And on English all twelve are nearly quiet, because their targets rest on BOS for 0.83 to 1.00 of the time. One kind of data hides what
# the other shows, here as in the small model.
#
# ### What a path is worth
#
# Attention is not loss. The last cut: 16.0's write, taken out of the keys of all five induction
# heads and of those that share keys with them (`circuits.cut_from_keys`), and as a control every other
# head of its layer and the two below.


# %%
source = circuits.strongest_heads(one_back, 1)[0]
near = [(layer, h) for layer in range(max(source[0] - 2, 0), source[0] + 1)
        for h in range(real.cfg.n_heads) if (layer, h) != source]


def added_by(head: tuple[int, int]) -> Float[Tensor, " batch"]:
    """What it costs each second copy when a head's write is cut out of those keys."""
    logits = circuits.cut_from_keys(real, real_tokens, real_cache, head, chosen)
    return circuits.mean_losses(logits, real_tokens, REAL_PERIOD + 2) - whole


whole = circuits.mean_losses(real(real_tokens), real_tokens, REAL_PERIOD + 2)
ours, others = circuits.interval(added_by(source)), [added_by(h).mean() for h in near]
show_table([{"cut": head_name(source), "added loss, nats": str(ours), "highest control": max(others),
             "it costs": str(circuits.beats(ours.mean, others))}], digits=2)

# %% [markdown]
# *What to see:* cutting one head's write out of two groups of keys costs eight nats on second copies, most
# of what the second copy had gained over the first. The worst control costs half a nat.
#
# ### And rotary positions?
#
# The score was computed as if query and key stood at the same place. At another distance the queries
# are turned against the keys, so the QK matrix is another one. Does the score notice?

# %%
sender, receiver = circuits.head_circuits(real, *source), circuits.head_circuits(real, *target)
turns, rows = f"blocks.{target[0]}.attn.hook_", {}
for distance in (0, 1, 5, 20, 60):
    if turns + "cos" in real_cache:
        cos, sin = (real_cache[turns + name][0, distance] for name in ("cos", "sin"))
        turned = receiver._replace(W_Q=circuits.turn(receiver.W_Q, cos, sin))
        rows[str(distance)] = composition_score("K", sender, turned)
show_table({"K score": rows or {"every distance": "the same"}},
           caption=f"{head_name(source)} to {head_name(target)}, by distance", digits=3)

# %% [markdown]
# It hardly does, and this is why: a turn mixes dimensions *inside* the head. Which directions of the
# residual stream the keys read is up to $W_K$, and that stays. Where the head looks depends on the
# distance; whom it can hear, much less.
#
# ## How sure is this?
#
# The sentences above that matter most, tested on data that this notebook does not use.

# %%
chapter.how_sure()

# %%
chapter.progress()

# %% [markdown]
# ## What was measured, and what the literature says
#
# - In `induction-2l` the weights found two circuits: the highest score is the switch that the bigram head
#   hears through its queries, the fourth the label that the induction head finds by its keys. Each shows
#   on one kind of data and not on the other.
# - They also erred both ways: K 0.1 > 1.0 fits and sends nothing; K 0.3 > 1.0 and 1.1 score below chance and
#   move attention.
# - Random heads score $1/\sqrt{d_{model}}$ in the root mean square, whatever their width; narrow ones scatter
#   widely. Elhage et al. 2021 subtract this baseline and find, in a two-layer model, essentially
#   K-composition with a previous-token-like head.
# - The path expansion is exact, and blind to composition through patterns, since it freezes them.
# - In SmolLM2 the head 16.0 feeds the five strongest induction heads through their keys, with 17.8 as a second
#   source for two; the weights rank them first and second, and say nothing of MLP 11 and 10.8.
#
# **How to use it.** Weights are cheap: all pairs of a model in seconds. Use them for a first list of what to
# cut, never for a list of what not to. Cut on every kind of data that the model was made for. Never
# report a score alone.
#
# **The same on GPT-2 small.** With the environment variable `CIRCUITS_COURSE_MODEL=gpt2-small` the
# section on a real model runs on it, from your own tables: its first two tables name the heads, and the cells below
# them take their heads from there. Sentences that name heads speak of SmolLM2.
#
# ## Where to go on
#
# - **06 Indirect object identification**: a circuit in which heads compose through queries as well.
# - **07 Activation patching**: path patching, which is this chapter's cut with another input's
#   activation in place of nothing at all.
