# %% [markdown]
# # 08 Logit lens
#
# **You will be able to** read what a model would say after each of its layers, take a logit apart into
# what every component wrote, train a lens of your own, and say when such readings mislead.
#
# **Time** 80 to 110 minutes. **You need** chapters 00, 01 and 04; chapter 06 helps. **Models** a
# real language model, and `induction-2l`, where every sum is exact.
#
# A model computes its answer in layers, and each layer adds to the same residual stream. So we can ask
# at every layer: *if it stopped here, what would it say?* That question costs one line of code, and it
# is easy to believe its answers. This chapter asks it, and then asks whether to believe them.

# %%
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.tools.analysis import logit_lens as their_lens

from circuits_course import Chapter, load_model
from circuits_course.circuits import (
    Shortlist,
    TunedLens,
    head_name,
    least_squares_lens,
    residual_states,
    strongest_heads,
    windows,
)
from circuits_course.data import passage
from circuits_course.plots import plot_bars, plot_heads, plot_lines, plot_scatter

torch.set_grad_enabled(False)
chapter = Chapter("08_logit_lens")
model = load_model("auto")
n_layers = model.cfg.n_layers
print("Set-up complete.")

# %% [markdown]
# ## Before you start
#
# Three questions from earlier chapters. If one of them is new to you, its feedback will do.

# %%
chapter.quiz("what_is_summed")

# %%
chapter.quiz("head_writes")

# %%
chapter.quiz("score_is_no_cause")

# %% [markdown]
# ## 1. What would it say if it stopped here?
#
# Five prompts, of five kinds: a fact, a phrase everybody knows, grammar, indirect object identification
# (chapter 06), and random tokens shown twice (chapter 04), where only looking back helps.


# %%
def word(text: str) -> int:
    return model.to_single_token(text)


def spell(token: int) -> str:
    return repr(model.tokenizer.decode([int(token)]))


drawn = torch.randint(1000, 5000, (1, 12), generator=torch.Generator().manual_seed(0))
bos = model.to_tokens("a")[:, :1]
repeated = torch.cat([bos, drawn, drawn[:, :-1]], dim=1)
prompts = {
    "fact": (model.to_tokens("The capital of France is"), word(" Paris")),
    "phrase": (model.to_tokens("Once upon a"), word(" time")),
    "grammar": (model.to_tokens("The boys lost their keys, and the girl lost"), word(" her")),
    "IOI": (
        model.to_tokens("When Mary and John went to the store, John gave a drink to"),
        word(" Mary"),
    ),
    "repeated": (repeated, int(drawn[0, -1])),
}
for name, (tokens, answer) in prompts.items():
    probs = model(tokens)[0, -1].softmax(-1)
    print(f"{name:9} answer {spell(answer):10} probability {probs[answer]:.2f}, "
          f"the model's own top: {spell(probs.argmax())}")  # fmt: skip

# %%
chapter.predict(
    "when_does_it_know",
    choices=["in the first third", "in the second third", "in the last third"],
)

# %% [markdown]
# The **logit lens** (nostalgebraist 2020) takes the state after some layer and does with it what the
# model does with its last one: final norm, then unembedding. There are `n_layers + 1` states: the
# embedding, and one after each layer.
#
# What kind of reading is that? Exactly what the model would say if all later layers wrote nothing.
# The norm is *computed anew* for each state, since that is what the norm would do there.

# %% exercise="logit_lens"

# %%
fact, paris = prompts["fact"]
fact_logits = logit_lens(model, fact)
print("Shape:", list(fact_logits.shape))
print("The last state gives the model's own logits, to",
      f"{(fact_logits[-1] - model(fact)[0]).abs().max():.0e}")  # fmt: skip

# %% [markdown]
# ### The same by brute force
#
# Silence every layer from some point on, and let the model run. Its own output must be your lens.

# %%
first = n_layers // 2


def silence(value: Tensor, hook) -> Tensor:
    return torch.zeros_like(value)


writes = [f"blocks.{i}.hook_{kind}" for i in range(first, n_layers) for kind in ("attn_out", "mlp_out")]  # fmt: skip
silenced = model.run_with_hooks(fact, fwd_hooks=[(name, silence) for name in writes])[0]
print("Largest difference:", f"{(silenced - fact_logits[first]).abs().max():.0e}")

# %% tags=["nbval-check-output"]
print("Lens and brute force agree:", torch.allclose(silenced, fact_logits[first], atol=1e-2))

# %% [markdown]
# TransformerLens has this lens too: `logit_lens` in `transformer_lens.tools.analysis`, which gives ranks
# and top tokens without holding all logits at once. From here on we know what it does.

# %%
theirs = their_lens(model, fact, targets=paris, top_k=None)
print("Same logits of ' Paris':",
      torch.allclose(theirs.values[:, 0, 0], fact_logits[:, -1, paris], atol=1e-2))  # fmt: skip

# %%
chapter.predict(
    "what_early_layers_say",
    choices=[
        "the token that stands there",
        "words of the right kind",
        "signs and filler, whatever the prompt",
    ],
)

# %%
step = max(1, n_layers // 10)
shown = sorted({*range(0, n_layers, step), n_layers - 2, n_layers - 1, n_layers})
lens_logits = {name: logit_lens(model, tokens)[:, -1] for name, (tokens, _) in prompts.items()}
print("state", *(f"{name:>14}" for name in prompts))
for state in shown:
    print(
        f"{state:5}", *(f"{spell(logits[state].argmax()):>14}" for logits in lens_logits.values())
    )

# %% [markdown]
# *What to see:* read a column downwards. The last row is the model's answer. How far up can you follow
# it, and what stands above? Where rows say the same under *every* prompt, they are not about the
# prompt.
#
# ## 2. Where does the answer stand?
#
# The top token is a crude reading: it does not say whether the answer is second or ten-thousandth. The
# **rank** does: how many tokens are above it.

# %% exercise="rank_by_layer"

# %%
ranks = {name: rank_by_layer(model, tokens, answer) for name, (tokens, answer) in prompts.items()}
plot_lines(
    {name: (1 + rank).float().log10() for name, rank in ranks.items()},
    "Rank of the answer, state by state",
    x_title="state (layers done)",
    y_title="log10(1 + rank); 0 is the top",
)

# %% [markdown]
# *What to see:* 0 is the top, 4 is a rank of ten thousand. Do the lines come down bit by bit, or fall
# at the end? Do all prompts fall at the same depth?
#
# ### When is it settled?
#
# An answer may come to the top, be pushed down, and come back. *Settled* means: from here on without a
# break.

# %% exercise="settles_at"

# %%
print(f"{'prompt':10}{'settled':>8}{'of':>5}{'  first on top':>15}")
for name, logits in lens_logits.items():
    top = logits.argmax(-1)
    first_on_top = int((top == top[-1]).nonzero()[0])
    print(f"{name:10}{settles_at(logits):8}{n_layers:5}{first_on_top:15}")

# %% tags=["nbval-check-output"]
settled = {name: settles_at(logits) for name, logits in lens_logits.items()}
print("The fact is settled in the last third:", settled["fact"] > 2 * n_layers / 3)

# %% [markdown]
# ## 3. How far from the end?
#
# One prompt may be a lucky one, and a rank sees one token. Over a text we compare whole distributions:
# the **Kullback-Leibler divergence** of a state's prediction $q$ from the final one $p$,
#
# $$\mathrm{KL}(p \,\|\, q) = \sum_{token} p \, (\log p - \log q)$$
#
# in nats. It is the extra surprise of somebody who believes $q$ while $p$ holds; 0 only where they
# agree.

# %% exercise="lens_kl"

# %% [markdown]
# The text is the opening of *Pride and Prejudice*. The first position, BOS, is left out: nothing has
# been said there, and its state is unlike all others.

# %%
pride = windows(model.to_tokens(passage("pride")), 64, 2)
pride_states = residual_states(model, pride)[:, :, 1::4].flatten(1, 2)  # [state, place, d_model]
log_probs = model.unembed(model.ln_final(pride_states)).log_softmax(-1)
kl = lens_kl(log_probs).mean(-1)
entropy = -(log_probs.exp() * log_probs).sum(-1).mean(-1)
plot_lines(
    {"KL to the final prediction": kl[1:], "entropy of the state's prediction": entropy[1:]},
    "The logit lens on Pride and Prejudice",
    x=torch.arange(1, n_layers + 1),
    x_title="state (layers done)",
    y_title="nats, mean over places",
)

# %%
even = torch.tensor(float(model.cfg.d_vocab)).log()
print(f"State 0: {kl[0]:.1f} nats. State {n_layers // 2}: {kl[n_layers // 2]:.1f} nats, entropy "
      f"{entropy[n_layers // 2]:.1f}.")  # fmt: skip
print(f"Even guessing among all tokens: {even - entropy[-1]:.1f} nats from the final prediction.")
worse = int((kl > even - entropy[-1]).sum())
print(f"States that are further from the end than even guessing: {worse} of {n_layers + 1}.")

# %% [markdown]
# *What to see:* compare the KL with the last number. A state that is further from the end than a guess by
# somebody who knows nothing is *confidently wrong*: its entropy is low and it names the wrong tokens.
# That is what a reading looks like when it is made in the wrong basis. Section 6 comes back to it.

# %% tags=["nbval-check-output"]
print("The last state is 0 from itself:", bool(kl[-1].abs() < 1e-4))
print("The middle state is over 3 nats from the end:", bool(kl[n_layers // 2] > 3))

# %%
del log_probs

# %% [markdown]
# ## 4. Who wrote it?
#
# The last state is a sum: embedding, plus every attention layer's write, plus every MLP's. A logit is the
# product of that sum, after the norm, with one column of $W_U$. So every write has its share in it: its
# **direct contribution**.
#
# The norm divides by a scale that depends on the whole sum. To share out *one number that was computed*,
# we keep the scale as it was in that run, the same for all parts (TransformerLens caches it).

# %%
chapter.predict("sum_of_normed", choices=["still the logit", "too large", "too small"])

# %% exercise="contributions_by_component"

# %%
parts = contributions_by_component(model, fact, paris)
logit = model(fact)[0, -1, paris].item()
strongest = sorted(parts, key=lambda name: -abs(parts[name]))[:12]
plot_bars(
    {name: parts[name] for name in strongest},
    "The twelve largest contributions to the logit of ' Paris'",
    y_title="logit",
)

# %%
print(f"sum of all {len(parts)} contributions {sum(parts.values()):.3f}, logit {logit:.3f}")

# %% [markdown]
# *What to see:* a few late components, attention and MLPs, for and against. Nothing is left over:
# the sum is the logit.
#
# ### Three claims about scales and centres, tested
#
# **One scale for all.** Now the wrong way: each write normed by itself.

# %%
_, fact_cache = model.run_with_cache(fact)
stack = fact_cache.decompose_resid(layer=-1, pos_slice=-1)  # [component, 1, d_model]
recomputed = (model.ln_final(stack)[:, 0] @ model.W_U[:, paris]).sum() + model.b_U[paris]
print(f"normed each by itself: {recomputed:.1f}; with the scale of the run: {logit:.1f}")

# %% tags=["nbval-check-output"]
print("The contributions sum to the logit:", abs(sum(parts.values()) - logit) < 1e-2)
print("Normed one by one they do not:", bool(abs(recomputed - logit) > 1))

# %%
chapter.explain("why_two_scales")

# %% [markdown]
# **Centring.** LayerNorm subtracts the mean over the dimensions; RMSNorm does not. Where a tool
# centres all writes, as is right for GPT-2, what happens on a model with RMSNorm?

# %%
scale = fact_cache["ln_final.hook_scale"][0, -1]
centred = (stack - stack.mean(-1, keepdim=True))[:, 0] / scale
plain_sum = (stack[:, 0] / scale @ model.W_U[:, paris]).sum() + model.b_U[paris]
centred_sum = (centred @ model.W_U[:, paris]).sum() + model.b_U[paris]
print("norm of this model:", model.cfg.normalization_type)
print(f"logit {logit:.3f}; sum without centring {plain_sum:.3f}; with centring {centred_sum:.3f}")

# %% [markdown]
# In a model with LayerNorm the two sums agree, since what is written has been centred already. With
# RMSNorm the second is another model's number.
#
# **Tied is not equal.** Many models use one matrix for embedding and unembedding. Before attribution, the
# gain of the final norm is folded into $W_U$, and perhaps $W_U$ is centred over the vocabulary. Is it
# still $W_E^T$?

# %%
difference = (model.W_U - model.W_E.T).norm() / model.W_U.norm()
print(f"|W_U - W_E^T| / |W_U| = {difference:.2f}")
with_W_E = model.ln_final(residual_states(model, fact)[:, 0, -1:])[:, 0] @ model.W_E.T
print("top token of the last state, read with W_U and with W_E^T:",
      spell(fact_logits[-1, -1].argmax()), spell(with_W_E[-1].argmax()))  # fmt: skip
print(
    f"KL between the two readings: {lens_kl(torch.stack([with_W_E[-1], fact_logits[-1, -1]]))[0]:.2f} nats"
)

# %% tags=["nbval-check-output"]
print("W_U is W_E transposed:", torch.allclose(model.W_U, model.W_E.T, atol=1e-3))

# %% [markdown]
# ### Where the lens is exact
#
# `induction-2l` has no norm. There the step of the lens from one state to the next *is* the layer's
# contribution, and lens and attribution are one thing.

# %% tags=["nbval-check-output"]
small = load_model("induction-2l")
small_tokens = small.to_tokens("qxbmztqxbmz")
target = small.to_single_token("t")
small_steps = logit_lens(small, small_tokens)[:, -1, target].diff()
small_parts = contributions_by_component(small, small_tokens, target)
for layer in range(2):
    print(f"layer {layer}: step of the lens {small_steps[layer]:.1f}, "
          f"contribution {small_parts[f'{layer}_attn_out']:.1f}")  # fmt: skip

# %% [markdown]
# In a model with norms it is not: later writes change the scale of what came before.
#
# ## 5. What does a head say?
#
# A head's write is a vector like a state, so the vocabulary can read it: what does this head, here, add
# to the logit of every token?

# %% exercise="head_write"

# %%
ioi, mary = prompts["IOI"]
john = word(" John")
_, ioi_cache = model.run_with_cache(ioi)
heads = torch.stack(
    [
        torch.einsum("hd,hdm->hm", ioi_cache["z", layer][0, -1], model.W_O[layer])
        for layer in range(n_layers)
    ]
)  # [layer, head, d_model]
direction = model.W_U[:, mary] - model.W_U[:, john]
normed = ioi_cache.apply_ln_to_stack(heads.flatten(0, 1)[:, None], layer=-1, pos_slice=-1)
head_parts = (normed[:, 0] @ direction).view(heads.shape[:2])
plot_heads(head_parts, "Each head's direct contribution to Mary minus John",
           unit="logit", diverging=True)  # fmt: skip

# %%
for sign, what in ((1, "for"), (-1, "against")):
    for layer, head in strongest_heads(sign * head_parts, 3):
        effect = head_write(model, ioi, layer, head)
        raised = ", ".join(spell(token) for token in effect.topk(3).indices)
        lowered = ", ".join(spell(token) for token in (-effect).topk(3).indices)
        print(f"{what:7} {head_name((layer, head)):5} {head_parts[layer, head]:5.1f}   "
              f"raises {raised}; lowers {lowered}")  # fmt: skip

# %% [markdown]
# *What to see:* name movers (chapter 06) raise a name. Some heads write against names. And some have a
# large share in the difference while the tokens they raise most are no names at all: a difference of two
# logits sees what they do to these two, and your list what they do to all.
#
# ## 6. The lens says nothing. Is nothing there?
#
# Take a state at which the lens shows no trace of the answer. Put in its place the state of another prompt,
# at the last position alone, and let the model go on.

# %%
chapter.predict("swap_state", choices=[" Paris", " Rome", "something else"])

# %%
italy, rome = model.to_tokens("The capital of Italy is"), word(" Rome")
italy_states = residual_states(model, italy)[:, 0, -1]  # [state, d_model]
france_states = residual_states(model, fact)[:, 0, -1]


def go_on_from(state: int) -> Tensor:
    """Logits of the France prompt with the last position's state taken from the Italy prompt."""

    def swap(resid: Tensor, hook) -> Tensor:
        resid[:, -1] = italy_states[state]
        return resid

    return model.run_with_hooks(fact, fwd_hooks=[(f"blocks.{state}.hook_resid_pre", swap)])[0, -1]


tried = torch.tensor([*range(0, n_layers // 2, 3), *range(n_layers // 2, n_layers)])
swapped = torch.stack([go_on_from(int(state))[[rome, paris]] for state in tried])
outcome = swapped[:, 0] - swapped[:, 1]
italy_logits = logit_lens(model, italy)[:-1, -1]
read = (italy_logits[:, rome] - italy_logits[:, paris])[tried]
plot_lines(
    {
        "what the model says after the swap": outcome,
        "what the lens reads in the swapped state": read,
    },
    "Rome minus Paris, for each state that is swapped",
    x=tried,
    x_title="state that is swapped",
    y_title="logit difference",
    markers={"lens has Rome on top": settles_at(logit_lens(model, italy)[:, -1])},
)

# %%
flip = int(tried[outcome > 0][0])
rome_ranks = rank_by_layer(model, italy, rome)
late = settles_at(logit_lens(model, italy)[:, -1])
print(f"From state {flip} on, the swapped state alone decides: the model says", spell(rome))
print(f"Rank of ' Rome' in that state, by the lens: {rome_ranks[flip]}; top: "
      f"{spell(italy_logits[flip].argmax())}")  # fmt: skip
print(f"The lens has ' Rome' on top for good from state {late} on.")

# %% tags=["nbval-check-output"]
print("The answer decides before the lens has it on top:", flip < late)

# %% [markdown]
# *What to see:* the first line jumps within a state or two: there the city arrives at the last position, and from then on it is
# this state that decides. By rank and top token the lens does not notice until later. The *difference* of two
# answers may jump along: what is common to all states, and keeps generic tokens on top, cancels in it.
# And look to the left of the jump: there the lens reads a difference too, of several logits perhaps, and the
# swap shows that it means nothing.
#
# ### A lens that learns the basis
#
# A state's basis is that of its layer: an offset common to all states, directions that later layers turn
# or scale. The **tuned lens** (Belrose et al. 2023) gives each layer one affine map, $x \mapsto A x + b$, and
# trains it so that norm and unembedding then give the model's *final* prediction. It never sees the right
# next token; it learns to say early what the model will say.
#
# It starts as the identity, so that without training it is the logit lens. The loss is your `lens_kl`. Two things keep it cheap:
# the states are computed once, and each step compares a few thousand tokens drawn anew (`Shortlist`) in
# place of the whole vocabulary.

# %% exercise="train_tuned_lens"

# %% [markdown]
# We train on *Alice in Wonderland* and measure on *Pride and Prejudice*.

# %%
gap = max(1, n_layers // 6)
kept = [*range(gap, n_layers, gap), n_layers]
alice = windows(model.to_tokens(passage("alice")), 64, 24)
alice_states = residual_states(model, alice, kept)[:, :, 1:].flatten(1, 2)
tuned = train_tuned_lens(model, alice_states, steps=60, batch=64, lr=1e-3, seed=0)
print("states:", kept[:-1], "  places to learn from:", alice_states.shape[1])

# %%
chapter.predict(
    "lens_on_other_text",
    choices=[
        "it reads better than the logit lens",
        "it reads worse: it has learned Alice",
        "there is no difference",
    ],
)

# %%
squares = least_squares_lens(alice_states)


def kl_through(lens: TunedLens) -> Tensor:
    """KL to the final prediction on Pride and Prejudice, for each kept state but the last."""
    states = pride_states[kept]
    mapped = torch.cat([lens(states[:-1]), states[-1:]])
    return lens_kl(model.unembed(model.ln_final(mapped))).mean(-1)[:-1]


curves = {
    "logit lens": kl[kept[:-1]],
    "tuned lens (KL, 60 steps)": kl_through(tuned),
    "least squares (no training)": kl_through(squares),
}
plot_lines(
    curves,
    "Three lenses on a text none of them has seen",
    x=torch.tensor(kept[:-1]),
    x_title="state (layers done)",
    y_title="KL to the final prediction (nats)",
)

# %%
for name, curve in curves.items():
    print(f"{name:28}", "  ".join(f"{value:5.2f}" for value in curve))

# %% tags=["nbval-check-output"]
print("The tuned lens is nearer to the end at every state but perhaps one:",
      int((curves["tuned lens (KL, 60 steps)"] < curves["logit lens"]).sum()) >= len(kept) - 2)  # fmt: skip

# %% [markdown]
# *What to see:* the gap between the first line and the others is what the logit lens misses although it can be
# had from the state by an affine map. And look which of the two maps is lower: the divergence is what we want, but
# sixty steps go only part of the way; least squares asks for something else (the nearest final *state*), has
# a closed form, and gets there in a second. Din et al. (2023) fit such maps; Belrose et al. train for far longer
# on far more text than a notebook can.
#
# Back to the capital, through all three:

# %%
table = {"logit": None, "tuned": tuned, "squares": squares}
print(f"{'state':>5}", *(f"{name:>24}" for name in table))
for i, state in enumerate(kept[:-1]):
    row = []
    for lens in table.values():
        x = france_states[kept[:-1]][:, None]
        logits = model.unembed(model.ln_final(x if lens is None else lens(x)))[i, 0]
        row.append(f"{spell(logits.argmax())}, Paris {int((logits > logits[paris]).sum())}")
    print(f"{state:5}", *(f"{text:>24}" for text in row))

# %% [markdown]
# *What to see:* in each cell the top token and the rank of ` Paris`. Compare the rows that follow the state where
# the swap began to decide.
#
# The two experiments say different things: a lens shows that the answer *can be read* from a state, the
# swap that the state *is used* for it. A map may also name a city before any swap matters, because it has
# learned that cities are likely after such words.

# %%
chapter.explain("what_a_lens_shows")

# %% [markdown]
# ## 7. What was written and is gone
#
# Direct attribution gives each write a share in the *final* sum. Suppose a later layer reads a write and
# takes it back: it writes the opposite. Then the first layer's share is as large as ever, the second's
# cancels it, and neither says so. Dao et al. (2023, arXiv 2310.07325) found heads that do this in a small
# model, and called it memory management.
#
# To see it, follow what one layer wrote *about this prompt*, $w$: its write minus its write on a prompt with
# another answer. Replace it, and look at how much of what changes in later states lies along $w$.

# %% exercise="write_survival"

# %%
chapter.predict("direct_and_total", choices=["rises", "falls", "either"])

# %%
swapped_ioi = model.to_tokens("When Mary and John went to the store, Mary gave a drink to")
_, other_cache = model.run_with_cache(swapped_ioi)


def direct_effect(layer: int) -> float:
    """What the write adds to Mary minus John beyond the other prompt's write, directly."""
    name = f"blocks.{layer}.hook_attn_out"
    w = (ioi_cache[name] - other_cache[name])[:, -1]
    return (ioi_cache.apply_ln_to_stack(w[None], layer=-1, pos_slice=-1)[0, 0] @ direction).item()


def total_effect(layer: int) -> float:
    """What the model's logit difference loses when the write is replaced by the other prompt's."""
    name = f"blocks.{layer}.hook_attn_out"

    def replace(attn_out: Tensor, hook) -> Tensor:
        attn_out[:, -1] = other_cache[name][:, -1]
        return attn_out

    change = ioi_logits - model.run_with_hooks(ioi, fwd_hooks=[(name, replace)])[0, -1]
    return (change[mary] - change[john]).item()


ioi_logits = model(ioi)[0, -1]
layers = list(range(3 * n_layers // 5, n_layers))
direct = torch.tensor([direct_effect(layer) for layer in layers])
total = torch.tensor([total_effect(layer) for layer in layers])
survival = torch.stack([write_survival(model, ioi, swapped_ioi, layer) for layer in layers])
plot_scatter(
    direct,
    total,
    "What an attention layer adds directly, and what it is worth",
    labels=[f"layer {layer}" for layer in layers],
    x_title="direct contribution to Mary minus John (logits)",
    y_title="total effect (logits)",
)

# %%
hidden = int((total - direct).abs().argmax())
loud = int(direct.argmax())
print(f"{'layer':>6}{'direct':>9}{'total':>9}{'left at the end':>17}")
for i in sorted({hidden, loud, *(total.abs()).topk(4).indices.tolist()}):
    print(f"{layers[i]:6}{direct[i]:9.2f}{total[i]:9.2f}{survival[i, -1]:17.2f}")
print(f"Largest disagreement: layer {layers[hidden]}. Largest direct contribution: "
      f"layer {layers[loud]}.")  # fmt: skip

# %%
plot_lines(
    {f"layer {layers[i]}": survival[i] for i in dict.fromkeys((hidden, loud))},
    "How much of a write is left in each state",
    x_title="state (layers done)",
    y_title="share of the write",
)

# %% [markdown]
# *What to see:* in the scatter, layers on the diagonal are worth what they add; one that is off it works
# through others. In the second picture a write is whole (1) when the attention layer has made it. The
# first state drawn comes after the MLP of the same layer, which may have taken some of it back already.
# Where a line falls on towards 0, later layers have erased what was written, *because* it was written:
# the plain run and the changed one differ in nothing else.
#
# For such a layer direct attribution gives a wrong number, and possibly the wrong sign. Its write is a
# message to later layers and no vote: they read it, act on it, and clear it away. In the IOI circuit of
# chapter 06 such messages tell later heads where *not* to look.

# %% tags=["nbval-check-output"]
print("Layers whose direct and total effect differ by over half a logit:",
      bool(((total - direct).abs() > 0.5).any()))  # fmt: skip
print("Writes of the lowest of these layers are mostly gone at the end:",
      bool((survival[: max(1, len(layers) // 4), -1] < 0.5).float().mean() > 0.5))  # fmt: skip

# %% [markdown]
# The last line is a reason why early states read badly: much of what they hold is not there any more at the end. A reading
# of an early state with the last layer's eyes reads messages as if they were votes.

# %%
chapter.progress()

# %% [markdown]
# ## What was measured, what the literature says, where to go on
#
# - The logit lens is the model with its later layers silenced. On this model the cells above say from which state on it
#   shows the answer, and how many states are further from the end than even guessing.
# - For a lens the norm is computed anew for each state; for an attribution the scale of the run is kept, and all contributions sum to
#   the logit. Centring is part of LayerNorm and not of RMSNorm. A folded $W_U$ is not $W_E^T$.
# - A state can decide the answer while the lens shows none of it. An affine map reads more, and least squares was a
#   strong start.
# - A write can be worth much while it adds nothing directly, and be gone at the end.
#
# Sources: nostalgebraist 2020, *interpreting GPT: the logit lens*; Belrose et al. 2023, *Eliciting Latent Predictions from
# Transformers with the Tuned Lens* (arXiv 2303.08112); Din et al. 2023, *Jump to Conclusions* (arXiv 2303.09435); Dao et al. 2023, *An
# Adversarial Example for Direct Logit Attribution* (arXiv 2310.07325). TransformerLens also ships a Jacobian lens
# (`transformer_lens.tools.analysis.JacobianLens`), which averages how a state moves the last one; it wants a model out
# of compatibility mode.
#
# **How to use a lens.** To form a guess: which layers to look at, which head to patch. Compare answers by their difference rather
# than by rank. Then intervene, as **07 Activation patching** does. **09 Open questions** asks whether what you saw here holds in other
# models.
