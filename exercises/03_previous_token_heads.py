# %% [markdown]
# # 03 Previous-token heads
#
# **You will be able to** read a diagonal in an attention pattern, find every head of a model that
# looks one token back, say what the bright column at the first token is, and put a popular claim
# about such heads to a fair causal test: by knock-out, with controls, and from the weights.
#
# **Time** 90 to 120 minutes. **You need** chapters 00 (cache and hooks) and 01 (what QK and OV do).
# **Models** `induction-2l`, whose training data we know exactly, and then a real language model.
#
# Of all the things an attention head can do, looking at the token before is the plainest. Nearly
# every language model has heads that do it. What for? You will often read: *previous-token heads
# implement bigram statistics*, that is, which token tends to follow which. It sounds right. By the
# end of this chapter you will have tested it.

# %%
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model
from circuits_course.circuits import head_name, head_scores
from circuits_course.data import bos_token, passage
from circuits_course.models import find_recipe
from circuits_course.plots import (
    plot_attention,
    plot_bars,
    plot_heads,
    plot_lines,
    plot_matrix,
    plot_scatter,
)

torch.set_grad_enabled(False)
chapter = Chapter("03_previous_token_heads")
model = load_model("induction-2l")
data = find_recipe("induction-2l").data
print("Set-up complete.")

# %% [markdown]
# ## Before you start
#
# Three questions from earlier chapters.

# %%
chapter.quiz("who_looks_at_whom")

# %%
chapter.quiz("what_a_head_writes")

# %%
chapter.quiz("pattern_as_evidence")

# %% [markdown]
# ## 1. The first thing you will see
#
# `induction-2l` was trained on two kinds of sequences, half and half. One kind is text from a **Markov
# chain**: each token is drawn from probabilities that depend on the token before and on nothing else.
# These probabilities are the chain's *bigram statistics*, and we have the true table of them. The
# other kind is random tokens, repeated. There, bigrams are worth nothing.
#
# We make sequences of both kinds, of the same length, and keep them as the rows of one batch.


# %%
def repeated(model, rows: int, period: int, seed: int) -> Int[Tensor, "rows pos"]:
    """BOS, `period` random tokens, and the same tokens again."""
    generator = torch.Generator().manual_seed(seed)
    bos = bos_token(model)
    copy = torch.randint(model.cfg.d_vocab - 1, (rows, period), generator=generator)
    copy = copy + (copy >= bos)  # every token but BOS
    return torch.cat([torch.full((rows, 1), bos), copy, copy], dim=1)


period = 20
copies = repeated(model, 64, period, seed=0)
chain = data.chain(64, torch.Generator().manual_seed(0))[:, : copies.shape[1]]
tokens = torch.cat([copies, chain])
print("repeated:", "".join(model.to_str_tokens(copies[0])[1:]))
print("chain:   ", "".join(model.to_str_tokens(chain[0])[1:]))

# %% [markdown]
# Now look at every head of the model, on the beginning of one chain text.

# %%
short = chain[:1, :16]
_, cache = model.run_with_cache(short)
patterns = torch.cat([cache["pattern", layer][0] for layer in range(2)])
names = [head_name((layer, head)) for layer in range(2) for head in range(4)]
plot_attention(
    model.to_str_tokens(short[0]), patterns, "Every head on chain text", head_names=names
)

# %% [markdown]
# *What to see:* each square is a head; rows are the tokens that look. Some squares have a bright
# diagonal, and in one of them it lies one below the middle: keep it in mind. And some have a bright
# **first column**. Whatever the query, these heads look at BOS.

# %%
chapter.predict(
    "why_bos",
    choices=[
        "BOS holds something about the text",
        "they have nothing to fetch and must look somewhere",
        "the causal mask leaves them no choice",
    ],
)

# %% [markdown]
# You will meet this in nearly every model, and it looks like a bug. How much of it is there? A
# head's share of attention on BOS, averaged over the queries, puts a number on it:
#
# $$\text{sink share} = \frac{1}{n-1} \sum_{q=1}^{n-1} A_{q,0}$$
#
# for a pattern $A$ on $n$ tokens. Query 0 is left out: BOS can look at nothing but itself.

# %% exercise="sink_share"

# %% [markdown]
# Your function on every head, on both kinds of sequences. `head_scores` runs the model and hands it
# each layer's patterns.

# %%
sinks = {
    kind: head_scores(model, rows, sink_share)
    for kind, rows in [("chain", chain), ("copies", copies)]
}
plot_matrix(
    torch.stack([share.flatten() for share in sinks.values()]),
    "Share of attention on BOS",
    x_labels=names,
    y_labels=["chain text", "repeated tokens"],
    x_title="head",
    y_title="kind of sequence",
    unit="share",
)

# %% [markdown]
# *What to see:* a head can be a sink on one kind of text and at work on the other. Heads that differ
# between the rows do not look at BOS by habit: they look there *when they have nothing to do*.

# %% tags=["nbval-check-output"]
difference = (sinks["copies"] - sinks["chain"]).flatten()
for index in difference.abs().argsort(descending=True)[:2].tolist():
    on_chain, on_copies = (sinks[kind].flatten()[index].item() for kind in ("chain", "copies"))
    print(f"head {names[index]}: {on_chain:.1f} on chain text, {on_copies:.1f} on repeated tokens")

# %% [markdown]
# Why must a head look somewhere at all? Softmax: each row of the pattern sums to 1, so there is no
# "nowhere". A head that has nothing to fetch needs a place where looking does no harm, and BOS is a
# good one: it is always there, it is the same in every sequence, and the model can learn to move
# little or nothing from it. That last part can be checked. The value vector $v$ is what a head
# moves from a token (before $W_O$ writes it); how long is it at BOS, and elsewhere?

# %%
_, cache = model.run_with_cache(tokens)
lengths = torch.cat([cache["v", layer].norm(dim=-1).mean(0).T for layer in range(2)])
plot_bars(
    {name: (row[0] / row[1:].mean()).item() for name, row in zip(names, lengths)},
    "Length of the value vector at BOS, relative to other tokens",
    x_title="head",
    y_title="ratio (1 = as long as elsewhere)",
)

# %% [markdown]
# *What to see:* low bars for the heads that are often at BOS: there, looking at BOS is close to looking
# nowhere. A head that never goes there has no reason to keep its value short.

# %% tags=["nbval-check-output"]
often = torch.stack(list(sinks.values())).flatten(1).amax(0) > 0.4
ratios = lengths[:, 0] / lengths[:, 1:].mean(1)
print(f"heads often at BOS: {[name for name, at in zip(names, often) if at]}")
print(f"longest value at BOS among them, relative to other tokens: {ratios[often].max():.1f}")

# %% [markdown]
# Xiao et al. (2023, "Efficient Streaming Language Models with Attention Sinks", arXiv 2309.17453) gave the
# effect its name, **attention sink**, and the same explanation: softmax leaves no way to attend to
# nothing.
#
# For us it is also a trap. A score for "looks at the token before" must not count the sink.

# %% [markdown]
# ## 2. Diagonals
#
# A head that looks at the token before makes a bright line one below the main diagonal: query 5 at key
# 4, query 6 at key 5. A head that looks three back makes a line three below. So the question "how far
# back does this head look?" is a question about diagonals.
#
# For offset $o$, average $A_{q,\,q-o}$ over the queries that have a token that far back, $q \ge o$.

# %% exercise="diagonal_scores"
# Make `scores`, a list with one tensor `[*heads]` for each offset.

# %% [markdown]
# Run it on all heads and on offsets up to 24, on the repeated sequences. We draw the heads that reach
# 0.3 somewhere.

# %%
profiles = torch.cat(
    [diagonal_scores(cache["pattern", layer][:64], 24).mean(0) for layer in range(2)]
)
plot_lines(
    {name: row for name, row in zip(names, profiles) if row[: period + 1].max() > 0.3},
    f"How far back each head looks, repeated tokens with period {period}",
    x_title="offset, tokens",
    y_title="mean attention",
    markers={"one period less one": period - 1},
)

# %% [markdown]
# *What to see:* one head with all its weight at offset 1. And one with a peak at `period - 1`: it does
# not count 19 tokens back, it has found the place where the sequence was last time. That is an
# *induction head*, the subject of chapter 04.

# %% [markdown]
# ### A trap in the score
#
# A head looks at BOS and nowhere else. It does not care about the token before. You run
# `diagonal_scores` on its pattern on 9 tokens.

# %%
chapter.predict("sink_at_offset_1", choices=["0", "1/9", "1/8", "1"])

# %%
sink = torch.zeros(9, 9)
sink[:, 0] = 1
print("a sink's score at offsets 0, 1, 2:", diagonal_scores(sink, 2))

# %% [markdown]
# Query 1 looks at BOS, and BOS is its previous token. The shorter the sequences, the worse. So the
# detector cuts BOS off, as a query and as a key, before it scores.

# %% exercise="previous_token_scores"

# %%
scores = {kind: previous_token_scores(model, rows) for kind, rows in
          [("chain", chain), ("copies", copies)]}  # fmt: skip
plot_matrix(
    torch.stack([score.flatten() for score in scores.values()]),
    "Previous-token score",
    x_labels=names,
    y_labels=["chain text", "repeated tokens"],
    x_title="head",
    y_title="kind of sequence",
    unit="mean attention",
)

# %% [markdown]
# A list of heads is easier to go on with than a table.

# %% exercise="find_previous_token_heads"
# Make `found`, a dictionary `{(layer, head): score}`.

# %% tags=["nbval-check-output"]
found = find_previous_token_heads(model, tokens, threshold=0.5)
print("Previous-token heads of induction-2l:", [head_name(head) for head in found])
previous = found[0]

# %% [markdown]
# One head, in layer 0, and it looks nowhere else on either kind of text (read its two cells above).
# Positions alone decide where it looks.

# %% [markdown]
# ## 3. The same in a real language model
#
# Now the same functions on a language model. Its random sequences are drawn from a vocabulary of tens of
# thousands of tokens; its ordinary text is English, from a novel of 1865 that ships with the course
# (`circuits_course.texts`).

# %%
chapter.predict(
    "random_or_english", choices=["higher on random tokens", "higher on English", "about the same"]
)

# %%
real = load_model("auto")
n_layers, n_heads = real.cfg.n_layers, real.cfg.n_heads
real_period, rows = 20, 3
length = 2 * real_period
novel = real.to_tokens(passage("alice"), prepend_bos=False)[0]
body = novel[: rows * length].view(rows, length)
english = torch.cat([torch.full((rows, 1), bos_token(real)), body], dim=1)
random_text = repeated(real, rows, real_period, seed=1)
print(f"{n_layers} layers, {n_heads} heads each; English rows begin like this:")
print(real.to_str_tokens(english[0])[:12])

# %%
on_random = previous_token_scores(real, random_text)
on_english = previous_token_scores(real, english)
plot_heads(on_english, "Previous-token score of every head, English", unit="mean attention")

# %% [markdown]
# *What to see:* a few heads stand out, in different layers. Most do not look at the token before.

# %%
heads = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
plot_scatter(
    on_random.flatten(),
    on_english.flatten(),
    "The same heads on random tokens and on English",
    labels=[head_name(head) for head in heads],
    x_title="score on random tokens",
    y_title="score on English",
)

# %%
correlation = torch.corrcoef(torch.stack([on_random.flatten(), on_english.flatten()]))[0, 1]
clear = on_random.flatten() > 0.5
print(f"correlation over all {len(heads)} heads: {correlation:.2f}")
print(f"heads over 0.5 on random tokens: {clear.sum().item()}; their mean score there "
      f"{on_random.flatten()[clear].mean():.2f}, on English {on_english.flatten()[clear].mean():.2f}")  # fmt: skip

# %% [markdown]
# *What to see:* the two texts agree on which heads these are. If the scores differ from text to text, as
# the last line tells for your model, these heads are not blind to content: something in the text
# draws part of their attention elsewhere. No score from one kind of text is *the* score of a head.
#
# To be on the safe side, we go on with the heads that pass on both.

# %%
on_both = [find_previous_token_heads(real, text, 0.5) for text in (english, random_text)]
real_previous = [head for head in on_both[0] if head in on_both[1]]
print("over 0.5 on random tokens and on English:", [head_name(head) for head in real_previous])
real_sinks = head_scores(real, english, sink_share)
print(f"heads with more than half of their attention on BOS, on English: "
      f"{(real_sinks > 0.5).float().mean():.0%}")  # fmt: skip
print("share on BOS of the previous-token heads:",
      [round(real_sinks[head].item(), 2) for head in real_previous])  # fmt: skip

# %% [markdown]
# The sink is here too: see how many heads spend most of their attention on a token that says
# nothing. The previous-token heads have something to fetch at every position.
#
# For GPT-2 small, Wang et al. (2022, arXiv 2211.00593) name 2.2 and 4.11 as previous-token heads. If
# that is your model, compare.

# %% [markdown]
# ## 4. What are they for?
#
# Two answers are on the table.
#
# - **Bigrams.** These heads implement bigram statistics: which token tends to come next.
# - **Labels.** These heads write onto each token which token stood before it, for later heads to find
#   it by.
#
# Both sound plausible, and the attention pattern cannot tell them apart: it is the same. But they
# predict different things when the heads are **knocked out**. On chain text the bigrams are all there is
# to know. On a second copy, bigrams are worth nothing, and finding the earlier place is everything.

# %%
chapter.predict(
    "who_suffers",
    choices=["chain text most", "second copies most", "first copies most", "all about alike"],
)

# %% [markdown]
# ### Sort the tokens
#
# A batch with both kinds of rows gives one loss for each predicted token. We need masks that say which of
# them belong to a first copy, a second copy, or ordinary text. Mind what a loss is about: entry $i$ is
# the loss on token $i + 1$. And mind the first token of the second copy. Nothing says that the
# repetition begins there, so it counts as neither.

# %% exercise="token_kinds"
# Make `target`, the position of the token that each entry is about, and `repeats`, a mask
# `[batch, pos - 1]` that is True in every place of a row that repeats.

# %% tags=["nbval-check-output"]
print({kind: mask.sum().item() for kind, mask in token_kinds(tokens).items()})

# %% [markdown]
# ### Take a head away
#
# In chapter 00 you set a head's output to zero. There is a choice in that. A head's output may have a
# constant part, the same at every token, on which everything downstream has come to rely. Zero takes
# that away too, and the model finds itself in a state that it never met in training. **Mean ablation**
# puts the head's average output there: the constant part stays, and what the head says about *this*
# token goes.
#
# Write both, for any list of heads, and return the loss on each token.

# %% exercise="knock_out_losses"
# Write the edit of `z`, and make `hooks`, a list of pairs (name of the activation, function).

# %% [markdown]
# The effect of a knock-out is a difference of losses, kind by kind.

# %% exercise="knock_out_effect"

# %% [markdown]
# Now the experiment, on every head of `induction-2l` in turn.

# %%
kinds = list(token_kinds(tokens))
every_head = [(layer, head) for layer in range(2) for head in range(4)]
effects = {head: knock_out_effect(model, tokens, [head]) for head in every_head}
plot_matrix(
    torch.tensor([[effects[head][kind] for kind in kinds] for head in every_head]),
    "What the knock-out of each head costs (mean ablation)",
    x_labels=kinds,
    y_labels=names,
    x_title="kind of token",
    y_title="head",
    unit="added loss, nats",
    diverging=True,
)

# %%
for kind in kinds:
    print(f"{head_name(previous)} on {kind}: {effects[previous][kind]:+.2f} nats")

# %% tags=["nbval-check-output"]
twin = max((h for h in every_head if h != previous), key=lambda h: effects[h]["second copy"])
print("The head whose knock-out does the same:", head_name(twin))

# %% [markdown]
# *What to see:* the previous-token head is worth nothing on the text that is made of bigrams, and it
# carries the whole second copy. **The bigram claim predicted the opposite.** The row of another head, in
# the layer above, is nearly the same, number for number: the two do one job together, and one without
# the other is worth nothing. And the head that sits at BOS on every text costs nothing at all.

# %% [markdown]
# ### What the head above has lost
#
# If previous-token heads write labels, the head above should lose its way. Its attention on one repeated
# sequence, before and after:


# %%
def silence(
    z: Float[Tensor, "batch pos head d_head"], hook, head: int, mode: str = "zero"
) -> Tensor:
    z[:, :, head] = z[:, :, head].mean((0, 1)) if mode == "mean" else 0.0
    return z


sequence = repeated(model, 1, 8, seed=3)
_, before = model.run_with_cache(sequence)
hook = utils.get_act_name("z", previous[0]), partial(silence, head=previous[1])
with model.hooks(fwd_hooks=[hook]):
    _, after = model.run_with_cache(sequence)
plot_attention(
    model.to_str_tokens(sequence[0]),
    torch.stack([c["pattern", twin[0]][0, twin[1]] for c in (before, after)]),
    f"Head {head_name(twin)} with and without head {head_name(previous)}",
    head_names=[f"{head_name(twin)} {how} {head_name(previous)}" for how in ("with", "without")],
)

# %%
for name, c in [("with", before), ("without", after)]:
    pattern = c["pattern", twin[0]][0, twin[1]]
    stripe = pattern.diagonal(-7)[2:].mean()  # queries in the second copy: 8 tokens less one back
    print(
        f"{name:8} on the token after the earlier copy {stripe:.2f}, on BOS {pattern[9:, 0].mean():.2f}"
    )

# %% [markdown]
# *What to see:* in the second copy the stripe vanishes, and the attention goes to BOS. A head that has
# nothing to go by parks in the sink: you have just made one.

# %% [markdown]
# ### A surprise in the first copy
#
# On first copies the knock-out made the model *better*. How can taking a working part away help? Before you
# read on, think about what an induction head does when a token comes up twice by chance.

# %%
current = copies[:, :-1]
came_before = (current[:, :, None] == current[:, None, :]).tril(-1).any(-1)
change = knock_out_losses(model, copies, [previous]) - knock_out_losses(model, copies, [])
first = token_kinds(copies)["first copy"]
for name, mask in [("has come before, by chance", first & came_before),
                   ("is new", first & ~came_before)]:  # fmt: skip
    print(f"where the current token {name}: {mask.sum().item():4} places, "
          f"change {change[mask].mean():+.2f} nats")  # fmt: skip

# %%
chapter.explain("first_copies_gain")

# %% [markdown]
# The whole gain comes from the chance repetitions. The circuit is doing its job there; its job is the
# wrong one.

# %% [markdown]
# ## 5. With controls, on the real model
#
# In a model with a hundred heads and more, *any* knock-out hurts a little, and zeroing a head can hurt for reasons
# that have nothing to do with what it does. A number means something only beside a control: as
# many random heads of the same layers.

# %% exercise="control_heads"

# %% [markdown]
# We knock out the real model's previous-token heads together, then three random sets of controls,
# once with zeros and once with means. This runs the model a few hundred tokens at a time, sixteen
# times over; half a minute is normal.

# %%
real_tokens = torch.cat([random_text, english])
sets = {"previous token": real_previous}
for seed in range(3):
    sets[f"control {seed}"] = control_heads(real_previous, n_heads, seed)
real_effects = {
    (name, mode): knock_out_effect(real, real_tokens, chosen, mode)
    for mode in ("mean", "zero")
    for name, chosen in sets.items()
}
print(f"{'':20}" + "".join(f"{kind:>15}" for kind in kinds))
for (name, mode), effect in real_effects.items():
    print(f"{name + ', ' + mode:20}" + "".join(f"{effect[kind]:15.2f}" for kind in kinds))

# %%
plot_matrix(
    torch.tensor([[effect[kind] for kind in kinds] for effect in real_effects.values()]),
    "What a knock-out costs the real model",
    x_labels=kinds,
    y_labels=[f"{name}, {mode}" for name, mode in real_effects],
    x_title="kind of token",
    y_title="knocked out",
    unit="added loss, nats",
    diverging=True,
)

# %% [markdown]
# *What to see:* compare the previous-token heads with the controls of the same mode, column by column.
# The line below does it for the means.

# %%
for kind in kinds:
    ours = real_effects["previous token", "mean"][kind]
    theirs = [real_effects[f"control {seed}", "mean"][kind] for seed in range(3)]
    verdict = "more than any control" if ours > max(theirs) else "no more than the controls"
    print(f"{kind:14} {ours:+.2f}, controls {min(theirs):+.2f} to {max(theirs):+.2f}: {verdict}")

# %%
chapter.explain("zero_or_mean")

# %% [markdown]
# ## 6. So where are the bigrams?
#
# `induction-2l` knows its bigrams; on chain text its loss is close to the best that anybody could
# reach. If the previous-token head does not hold them, who does?

# %%
best = -data.bigrams[chain[:, :-1], chain[:, 1:]].log().mean()
reached = knock_out_losses(model, chain, []).mean()
print(
    f"loss on chain text {reached:.2f} nats; best possible {best:.2f}; guessing {torch.tensor(63.0).log():.2f}"
)

# %% [markdown]
# Elhage et al. (2021, section "Zero-Layer Transformers") give an answer: the **direct path**. The embedding
# of the current token travels along the residual stream, past all heads, and meets the unembedding.
# Its contribution to the logits is one row of
#
# $$W_E W_U \qquad \text{[d\_vocab, d\_vocab]}$$
#
# and a row depends on the current token alone. Whatever the direct path says *is* a bigram
# statement.

# %% exercise="direct_path_bigrams"

# %%
token = 11
true = data.bigrams[token].topk(5).indices
direct = direct_path_bigrams(model, token, 5)
print("current token:     ", model.to_str_tokens(torch.tensor([token]), prepend_bos=False)[0])
print("most often follow: ", *model.to_str_tokens(true, prepend_bos=False))
print("direct path raises:", *model.to_str_tokens(torch.tensor(direct), prepend_bos=False))

# %% tags=["nbval-check-output"]
hits = [
    direct_path_bigrams(model, token, 1)[0] == data.bigrams[token].argmax().item()
    for token in range(1, 64)
]
print(f"the direct path's first choice is the true one for {sum(hits)} of {len(hits)} tokens")

# %% [markdown]
# Far better than chance, and yet not enough for a model that comes this close to the best possible loss.
# Something is missing.
#
# ### A second place to look
#
# Go back to the table of knock-outs, column "ordinary text". Which heads does chain text suffer
# from losing?

# %%
chapter.predict(
    "where_a_bigram_head_looks", choices=["the token before", "the current token", "BOS"]
)

# %% [markdown]
# A head that looks at nothing but the current token takes that token's embedding through its own
# $W_{OV} = W_V W_O$ and adds a second row to the direct path's:
#
# $$W_E W_U + W_E W_{OV} W_U$$
#
# Again a function of the current token alone: bigrams. Write the table, for any set of heads.

# %% exercise="bigram_table"

# %% [markdown]
# How far is a table from the truth? The Kullback-Leibler divergence says how many nats a token are lost by
# believing the table instead of the true probabilities; 0 is perfect. We try the direct path alone, and
# then with each head's table added in turn.


# %%
def nats_lost(table: Float[Tensor, "d_vocab d_vocab"]) -> float:
    """Mean KL divergence from the true bigrams to the table's, over all tokens but BOS."""
    truth, believed = data.bigrams[1:, 1:], table.log_softmax(-1)[1:, 1:]
    return (truth * (truth.clamp_min(1e-30).log() - believed)).sum(-1).mean().item()


lost = {"none": nats_lost(bigram_table(model, []))}
lost |= {head_name(head): nats_lost(bigram_table(model, [head])) for head in every_head}
plot_bars(
    lost,
    "Distance from the true bigrams: the direct path plus one head's table",
    x_title="head added",
    y_title="nats lost (0 = the true bigrams)",
)

# %% tags=["nbval-check-output"]
bigram_head = min(every_head, key=lambda head: lost[head_name(head)])
print("direct path alone:", round(lost["none"], 1))
print(f"with head {head_name(bigram_head)}:  ", round(lost[head_name(bigram_head)], 1))
print(f"with the previous-token head {head_name(previous)}:", round(lost[head_name(previous)], 1))

# %% [markdown]
# *What to see:* one head closes most of the gap, and it is not the previous-token head. Where does it
# look? Its diagonal scores tell:

# %% tags=["nbval-check-output"]
layer, head = bigram_head
for kind, rows_of in [("chain text", chain), ("repeated tokens", copies)]:
    _, cache = model.run_with_cache(rows_of)
    pattern = cache["pattern", layer][:, head]
    at = diagonal_scores(pattern[:, 1:, 1:], 1).mean(0).tolist()
    print(f"{kind:15}  itself {at[0]:.1f}, token before {at[1]:.1f}, "
          f"BOS {sink_share(pattern).mean():.1f}")  # fmt: skip

# %% [markdown]
# **The bigram head looks at offset 0.** On chain text it looks at the current token and adds that token's
# bigrams. On repeated tokens, where bigrams mislead, it is parked at BOS: the sink works as an off
# switch. The folk claim is off by one: what comes after a token depends on *that* token, and a head that
# looks one further back never sees it.
#
# ### Who throws the switch?
#
# Something has to tell the bigram head which kind of text this is. It sits in layer 1, so it can only hear
# it from layer 0. You might expect a head there that weighs up the text so far, like the *aggregation*
# of chapter 02. Knock out each head of layer 0 in turn, on chain text, and see where the bigram head
# looks.


# %%
def bigram_head_looks(rows: Int[Tensor, "batch pos"], hooks=()) -> tuple[float, float]:
    """The bigram head's attention to the current token and to BOS."""
    with model.hooks(fwd_hooks=list(hooks)):
        _, cache = model.run_with_cache(rows)
    pattern = cache["pattern", bigram_head[0]][:, bigram_head[1]]
    return diagonal_scores(pattern[:, 1:, 1:], 0).mean().item(), sink_share(pattern).mean().item()


name = utils.get_act_name("z", 0)
away = {}
for mode in ("zero", "mean"):
    for index in range(4):
        hook = name, partial(silence, head=index, mode=mode)
        itself, bos = bigram_head_looks(chain, [hook])
        away[index, mode] = bos
        print(f"0.{index} set to {mode}: itself {itself:.2f}, BOS {bos:.2f}")

# %% [markdown]
# *What to see:* with one head at zero, the bigram head is switched off. With the same head at its mean it
# is not: the mean was taken over chain text, and still says "this is chain text". A mean is always a
# mean *over something*. In section 4 it ran over both kinds of rows, and there the head did matter.
#
# So what does that head look at?

# %% tags=["nbval-check-output"]
switch = max(range(4), key=lambda index: away[index, "zero"])
_, cache = model.run_with_cache(tokens)
by_position = cache["pattern", 0][:, switch, 2:].mean((0, 1))
place = by_position.argmax().item()
print(f"head 0.{switch} looks most at position {place}: {by_position[place]:.1f} of its attention")
start = chain[:, 1].mode().values
share = (chain[:, 1] == start).float().mean()
print(
    f"chain texts that begin with the same token {model.to_str_tokens(start[None])[-1]!r}: {share:.0%}"
)

# %% [markdown]
# It weighs up nothing. It looks at the **first token** after BOS (the second column of its square in
# section 1). In the data, nearly every chain text begins with the same token, and random ones hardly ever
# do. One token tells the two apart, so why read on? If that is the whole story, then changing this one
# token should turn the bigrams off for the rest of the text.

# %% tags=["nbval-check-output"]
other = chain.clone()
other[:, 1] = copies[:, 1]  # a random first token; everything else stays
for label, rows_of in [("as it was", chain), ("first token changed", other)]:
    itself, bos = bigram_head_looks(rows_of)
    loss = knock_out_losses(model, rows_of, [])[:, 2:].mean()
    print(
        f"{label:20} itself {itself:.1f}, BOS {bos:.1f}; loss on all later tokens {loss:.1f} nats"
    )

# %% [markdown]
# *What to see:* one token changed, and the model forgets its bigrams for all that follows. Nobody planned this
# circuit. We meant the model to judge the text; the data left a cheaper way open, and training took it.
# Such a **shortcut** is invisible in the loss, and a knock-out alone would have told you "head 0 is
# important" and left you to guess why. It took a look at where the head looks, and a test on an input
# that the training data never held.

# %% [markdown]
# ## 7. And in the real model?
#
# Does the direct path of a language model hold bigrams? Its last norm stands in the way: it is not
# linear, so the logits are no longer a sum of paths. But look at what the norm does at one
# position. It divides the whole vector by one positive number (its gain is folded into $W_U$, and so
# is LayerNorm's centring). That changes how *confident* the logits are, and never their *order*. So for a
# list of the most raised tokens we can leave the norm out.

# %%
chapter.predict(
    "direct_path_real",
    choices=["tokens that often follow it", "the token itself", "nothing in particular"],
)

# %%
words = [" United", " White", " of", " once"]
for word in words:
    token = real.to_tokens(word, prepend_bos=False)[0, -1].item()
    raised = torch.tensor(direct_path_bigrams(real, token, 5))
    print(f"{word!r:10} ->", real.to_str_tokens(raised, prepend_bos=False))

# %% [markdown]
# Now count. We take the first hundred different tokens of the novel, give the model BOS and one token, and
# note the next token that it finds most likely: its own bigram, with nothing else to go by. How often is
# that among the ten tokens that the direct path raises most? And how often does the direct path
# raise the token *itself* most?

# %%
hundred = list(dict.fromkeys(novel.tolist()))[:100]
pairs = torch.tensor([[bos_token(real), token] for token in hundred])
favourite = real(pairs)[:, -1].argmax(-1)
tops = [direct_path_bigrams(real, token, 10) for token in hundred]
among_ten = sum(best in top for best, top in zip(favourite.tolist(), tops))
itself = sum(top[0] == token for token, top in zip(hundred, tops))
print(
    f"of {len(hundred)} tokens: the model's favourite is among the direct path's ten: {among_ten}"
)
print(f"           the direct path raises the token itself most: {itself}")

# %% [markdown]
# So the textbook's answer, right for models without MLPs, need not hold here either. Many language models
# unembed with their embedding, $W_U = W_E^\top$ up to the norm's gain, and then $W_E W_U$ says above all
# "the same again". The model's bigrams must come from elsewhere, MLPs and all.
#
# From the previous-token heads? Knock them out and see how much less likely the favourite becomes.

# %%
triples = torch.cat([pairs, favourite[:, None]], dim=1)
whole = knock_out_losses(real, triples, [])[:, -1].mean()
cases = {"nothing": [], "every head": heads, **sets}
bigram_cost = {
    name: (knock_out_losses(real, triples, chosen)[:, -1].mean() - whole).item()
    for name, chosen in cases.items()
}
print(f"-log p of the favourite, whole model: {whole:.2f} nats")
for name, cost in bigram_cost.items():
    print(f"knocked out: {name:15} {cost:+.3f}")

# %% [markdown]
# *What to see:* how the previous-token heads compare with the controls, and both with attention as a
# whole. If the heads implemented bigram statistics, their line would stand out here.

# %%
chapter.explain("verdict")

# %%
chapter.progress()

# %% [markdown]
# ## What was measured, and what the literature says
#
# - `induction-2l` has one previous-token head, and it reads positions alone. Its knock-out costs nothing
#   on text that is all bigrams and everything on second copies. An induction head above it is lost
#   without it.
# - Its bigrams are in the direct path, as Elhage et al. (2021) say, **and** in a head that looks at the
#   current token, switched on and off by the first token of the text. Their statement is that the direct path *can only* hold bigram statistics; it does
#   not say that bigrams are held nowhere else.
# - In the real model, the cells of sections 5 and 7 give the verdict for the model you loaded, against
#   random heads of the same layers.
# - Labels, not bigrams: previous-token heads write which token came before, and Elhage et al. (section
#   "Two-Layer Attention-Only Transformers") show where it goes, into the *keys* of induction heads. Wang
#   et al. (2022, section 3) find two such heads in the circuit that GPT-2 small uses to complete "When Mary
#   and John went to the store, ...".
# - Zero ablation moves a model to where it has never been; means of *which* text matters too. Chapter 07
#   compares zero, mean and resampling ablation.
#
# **Where to go on.** Chapter 04 takes the induction head apart that you saw lose its way. Chapter 05 shows
# *through which matrix* the label reaches it. And a question to keep: a head can look one token back
# without anybody reading its label. How would you find out?
