# %% [markdown]
# # 08 Logit lens
#
# **You will be able to** read what a model would say after each of its layers, take a logit apart into
# what every component wrote, train a lens of your own and hold it against readers that never look at the
# text, and say when such readings mislead.
#
# **Time** 100 to 130 minutes. **You need** chapters 00, 01 and 04; chapter 06 helps. **Models** SmolLM2
# (135M-Instruct, its 4-bit weights turned back into numbers, prompts led by its BOS `<|im_start|>`), and
# `induction-2l`, where every sum is exact.
#
# A model computes its answer in layers, and each layer adds to the same residual stream. So we can ask
# at every layer: *if it stopped here, what would it say?* That question costs one line of code, and it
# is easy to believe its answers. This chapter asks it, and then asks whether to believe them.

# %%
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course import Chapter, circuits, load_model, show_table, verdict
from circuits_course.circuits import Shortlist, TunedLens, interval, interval_bands, residual_states
from circuits_course.data import capital_prompts, five_prompts, ioi_batch, passage
from circuits_course.plots import draw, plot_bars, plot_heads, plot_lines, plot_scatter

torch.set_grad_enabled(False)
chapter = Chapter("08_logit_lens")
model = load_model("auto")
n_layers = model.cfg.n_layers

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

# %%
chapter.review()

# %% [markdown]
# ## 1. What would it say if it stopped here?
#
# Five prompts, of five kinds: a fact, a phrase everybody knows, grammar, indirect object identification
# (IOI, chapter 06), and random tokens shown twice (chapter 04), where only looking back helps.


# %%
def spell(token: int) -> str:
    return repr(model.tokenizer.decode([int(token)]))


prompts = five_prompts(model)

# %% tags=["nbval-check-output"]
rows = []
for name, (tokens, answer) in prompts.items():
    probs = model(tokens)[0, -1].softmax(-1)
    text = model.tokenizer.decode(tokens[0, 1:])
    rows.append((name, text, spell(answer), probs[answer].item(), spell(probs.argmax())))
show_table(rows, ["kind", "prompt", "answer", "probability", "on top"], digits=2)

# %%
chapter.predict("when_does_it_know",
                choices=["in the first third", "in the second third", "in the last third"])

# %% [markdown]
# The **logit lens** (nostalgebraist 2020) takes the state after some layer and does with it what the
# model does with its last one: final norm, then unembedding. There are `n_layers + 1` states: the
# embedding, and one after each layer; SmolLM2 has 31.
#
# What kind of reading is that? Exactly what the model would say if all later layers wrote nothing.
# The norm is *computed anew* for each state, since that is what the norm would do there.

# %%
fact, states = prompts["fact"][0], [n_layers * i // 3 for i in range(3)]
end = model.tokenizer.decode([model(fact)[0, -1].argmax().item()])
draw("logit_lens", token=model.tokenizer.decode([fact[0, -1].item()]),
     guesses=[*((state, "?") for state in states), (n_layers, end)])

# %% [markdown]
# *What to see:* four exits from one lane, all through the same norm and unembedding. The uppermost is the
# model's own answer; what stands at the others is the question of this chapter.

# %% exercise="logit_lens"

# %%
fact, paris = prompts["fact"]
fact_logits = logit_lens(model, fact)
gap = (fact_logits[-1] - model(fact)[0]).abs().max()
verdict("the last state gives the model's own logits", gap < 1e-2, f"largest difference {gap:.0e}")

# %% [markdown]
# ### The same by brute force
#
# Silence every layer from some point on, and let the model run. Its own output must be your lens.

# %%
first = n_layers // 2


def silence(value: Tensor, hook) -> Tensor:
    return torch.zeros_like(value)


kinds = ("attn_out", "mlp_out")
writes = [f"blocks.{i}.hook_{kind}" for i in range(first, n_layers) for kind in kinds]
silenced = model.run_with_hooks(fact, fwd_hooks=[(name, silence) for name in writes])[0]
gap = (silenced - fact_logits[first]).abs().max()
verdict("lens and brute force agree", gap < 1e-2, f"largest difference {gap:.0e}")

# %% [markdown]
# TransformerLens has this lens too: `logit_lens` in `transformer_lens.tools.analysis`, which gives ranks
# and top tokens without holding all logits at once. From here on we know what it does.

# %%
from transformer_lens.tools.analysis import logit_lens as their_lens

theirs = their_lens(model, fact, targets=paris, top_k=None).values[:, 0, 0]
gap = (theirs - fact_logits[:, -1, paris]).abs().max()
verdict("TransformerLens reads the same", gap < 1e-2, f"largest difference {gap:.0e}")

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
show_table([{"state": i} | {name: spell(logits[i].argmax())
                            for name, logits in lens_logits.items()} for i in shown],
           caption="The token on top after each state, at the last position")

# %% [markdown]
# *What to see:* read a column downwards. State 0 repeats the token that stands there. From then until
# far into the last third SmolLM2's lens shows full stops, spaces and small words under every prompt: it is
# not about the prompt. Then the answers come, each at its own depth.

# %%
chapter.reveal("what_early_layers_say", model=model)

# %% [markdown]
# ## 2. Where does the answer stand?
#
# The top token is a crude reading: it does not say whether the answer is second or ten-thousandth. The
# **rank** does: how many tokens are above it.

# %% exercise="rank_by_layer"

# %%
ranks = {name: rank_by_layer(model, tokens, answer) for name, (tokens, answer) in prompts.items()}
plot_lines({name: (1 + rank).float().log10() for name, rank in ranks.items()},
           "Rank of the answer, state by state", x="state (layers done)",
           y="log10(1 + rank); 0 is the top")

# %% [markdown]
# *What to see:* 0 is the top, 4 is a rank of ten thousand. After the first few states the lines hardly
# move for twenty layers; then they fall within a few states. They do not come down bit by bit.
#
# ### When is it settled?
#
# An answer may come to the top, be pushed down, and come back. *Settled* means: from here on without a
# break.

# %% exercise="settles_at"

# %% [markdown]
# Five prompts are few. So we add every capital that the model knows, one prompt each (`capital_prompts`
# looks for them), and give the mean with its interval.

# %%
capitals = capital_prompts(model)
at_end = residual_states(model, capitals.tokens)[:, :, -1]  # [state, prompt, d_model]
capital_logits = model.unembed(model.ln_final(at_end))  # the lens, at the last position
of_capitals = [settles_at(logits) for logits in capital_logits.unbind(1)]
settled = {name: settles_at(logits) for name, logits in lens_logits.items()}
show_table({name: {"settled at state": state} for name, state in settled.items()})
found = interval(of_capitals)
verdict("known capitals are settled in the last third of the layers",
        found.low > 2 * n_layers / 3,
        f"mean state {found.mean:.1f} [{found.low:.1f}, {found.high:.1f}], {found.n} prompts, "
        f"of {n_layers} layers", model=model)

# %%
chapter.reveal("when_does_it_know", model=model)

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
# The text is the opening of *Pride and Prejudice*, in eight windows of 63 tokens, of which we read every
# sixth. The first position, BOS, is left out: nothing has been said there, and its state is unlike all
# others. A window counts as one independent unit. (`kl_to_final??`: your divergence, a few places at a
# time.)

# %%
from circuits_course.circuits import kl_to_final, windows

pride = windows(model.to_tokens(passage("pride"), truncate=False), 64)
states = residual_states(model, pride)[:, :, 1:]  # [state, window, place, d_model]
some = states[:, :, ::6].flatten(1, 2)
kl = kl_to_final(model, some).unflatten(1, (len(pride), -1)).mean(-1)  # [state, window]
final = model.unembed(model.ln_final(some[-1:]))[0].log_softmax(-1)
even = torch.tensor(float(final.shape[-1])).log() + (final.exp() * final).sum(-1).mean()
plot_lines({"logit lens": kl.mean(1), "even guessing": even.expand(n_layers)},
           "How far each state is from the end, on Pride and Prejudice", x="state (layers done)",
           y="KL to the final prediction (nats)", log_y=True,
           bands=interval_bands({"logit lens": kl.T}))

# %%
worse = int((kl.mean(1) > even).sum())
rows = {f"state {i}": str(interval(kl[i])) for i in (0, n_layers // 2, n_layers - 1)}
show_table(rows | {"even guessing": f"{even:+.2f}"}, ["", "nats from the end"])
verdict("most states are further from the end than even guessing", worse > n_layers / 2,
        f"{worse} of {n_layers} states before the last", model=model)

# %% [markdown]
# *What to see:* the axis is logarithmic, the shaded range is the interval over the windows, and the flat line
# is a guess by somebody who knows nothing at all. Above it, a state is *confidently wrong*: it does not
# leave the matter open, it names the wrong tokens. Only the last five states are below.
#
# **State 0** is worst by far, at a hundred nats. Embedding and unembedding are one matrix in SmolLM2, so
# that a token's embedding points to the token itself. The lens says "this very token again":

# %%
here = pride[:, 1::6].flatten()
own = model.unembed(model.ln_final(some[:1]))[0].softmax(-1)[torch.arange(len(here)), here]
verdict("state 0 says the token that stands there", own.mean() > 0.5,
        f"mean probability {own.mean():.3f}", model=model)

# %% [markdown]
# KL charges for every likely token that was called impossible, and a word's embedding calls all others
# impossible.
#
# Why are the middle states so far off? Two stories fit. The state may not *hold* the prediction yet. Or it
# holds it in another *basis*: an offset common to all texts, directions turned or scaled. Section 6 tells
# the two apart.
#
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
strongest = sorted(parts, key=lambda name: -abs(parts[name]))[:12]
plot_bars({name: parts[name] for name in strongest},
          "The twelve largest contributions to the logit of ' Paris'", y="logit")

# %%
logit = model(fact)[0, -1, paris].item()
verdict("the contributions sum to the logit", abs(sum(parts.values()) - logit) < 1e-2,
        f"{len(parts)} parts, {sum(parts.values()):.3f} and {logit:.3f}")

# %% [markdown]
# *What to see:* a few late components, attention and MLPs, for and against. In SmolLM2 attention layer 23
# gives most, 3.6 of 19.0. Nothing is left over: the sum is the logit.
#
# ### Three claims about scales and centres, tested
#
# **One scale for all.** Now the wrong way: each write normed by itself.

# %%
_, cache = model.run_with_cache(fact)
stack = cache.decompose_resid(layer=-1, pos_slice=-1)  # [component, 1, d_model]
recomputed = (model.ln_final(stack)[:, 0] @ model.W_U[:, paris]).sum() + model.b_U[paris]
verdict("normed one by one, they do not sum to the logit", abs(recomputed - logit) > 1,
        f"{recomputed:.1f} against {logit:.1f}")

# %%
chapter.reveal("sum_of_normed", model=model)

# %%
chapter.explain("why_two_scales")

# %% [markdown]
# **Centring.** LayerNorm subtracts the mean over the dimensions; RMSNorm, which SmolLM2 has, does not.
# Some tools centre every write, as is right for GPT-2. Here that gives another model's number:

# %%
scale = cache["ln_final.hook_scale"][0, -1]
centred = (stack - stack.mean(-1, keepdim=True))[:, 0] / scale
centred_sum = (centred @ model.W_U[:, paris]).sum() + model.b_U[paris]
show_table({"norm of this model": str(model.cfg.normalization_type), "logit": f"{logit:.3f}",
            "sum of centred writes": f"{centred_sum:.3f}"}, ["", "found"])

# %% [markdown]
# **Tied is not equal.** SmolLM2 has one matrix for embedding and unembedding. Before attribution, the
# gain of the final norm is folded into $W_U$ (chapter 01), and $W_U$ may be centred over the vocabulary. Is
# it still $W_E^T$?

# %%
difference = (model.W_U - model.W_E.T).norm() / model.W_U.norm()
with_W_E = model.ln_final(residual_states(model, fact)[-1:, 0])[0, -1] @ model.W_E.T
both = torch.stack([with_W_E, fact_logits[-1, -1]])
verdict("W_U is not W_E transposed", difference > 0.1,
        f"relative difference {difference:.2f}; read with W_E^T the last state says "
        f"{spell(with_W_E.argmax())}, {lens_kl(both)[0]:.1f} nats away", model=model)

# %% [markdown]
# ### Where the lens is exact
#
# `induction-2l` has no norm. There the step of the lens from one state to the next *is* the layer's
# contribution, and lens and attribution are one thing.

# %%
small = load_model("induction-2l")
small_tokens, target = small.to_tokens("qxbmztqxbmz"), small.to_single_token("t")
steps = logit_lens(small, small_tokens)[:, -1, target].diff()
small_parts = contributions_by_component(small, small_tokens, target)
of_layers = torch.tensor([small_parts[f"{layer}_attn_out"] for layer in range(2)])
verdict("each step of the lens is the layer's contribution", (steps - of_layers).abs().max() < 1e-3,
        f"layer 0: {steps[0]:.1f}, layer 1: {steps[1]:.1f}")

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
john = model.to_single_token(" John")
head_parts = circuits.head_contributions(model, ioi, mary, john)
plot_heads(head_parts, "Each head's direct contribution to Mary minus John",
           unit="logit", diverging=True)

# %%
rows = {}
for sign in (1, -1):
    for layer, head in circuits.strongest_heads(sign * head_parts, 3):
        effect = head_write(model, ioi, layer, head)
        rows[f"{layer}.{head}"] = {
            "to Mary": effect[mary].item(), "to John": effect[john].item(),
            "Mary - John": head_parts[layer, head].item(),
            "raises most": ", ".join(spell(token) for token in effect.topk(3).indices),
            "lowers most": ", ".join(spell(token) for token in (-effect).topk(3).indices),
        }
show_table(rows, digits=1)

# %% [markdown]
# *What to see:* two ways to favour a name. In SmolLM2 **29.1** and **23.0** raise ` Mary`, as the name movers of
# GPT-2 do (Wang et al. 2022). **23.3**, the strongest of all, does the opposite: it *lowers* ` John`, and what it
# raises most are no words. It attends to the subject (chapter 06) and pushes it down. In GPT-2 small no head was
# reported to do that; its negative name movers lower whatever name they attend to, mainly the right one.
#
# So read both lists. A difference of two logits sees what a head does to these two; a list of what
# it raises alone would have missed the strongest head of this model.
#
# ## 6. The lens says nothing. Is nothing there?
#
# After 24 of SmolLM2's 30 layers the lens has a full stop on top at the end of *The capital of Italy is*,
# and ` Rome` hundreds of places below. Put this state in the place of the France prompt's, at the
# last position alone, and let the remaining layers run. Before you see it, two guesses, for two named states:

# %%
chapter.predict("swap_state_10", choices=[" Paris", " Rome", "something else"])

# %%
chapter.predict("swap_state_24", choices=[" Paris", " Rome", "something else"])

# %% [markdown]
# We do it for every state, and for all capitals: each prompt gets the state of the next prompt in the list.
# (`circuits.swap_states??` shows how: a change at the last position is seen by no other, so that this
# position is all that has to be computed again.) Beside it, what the lens reads in the very state that is
# put in.

# %%
order, row = torch.arange(len(capitals.answers)).roll(-1), torch.arange(len(capitals.answers))
mine, theirs = capitals.answers, capitals.answers[order]
swapped = circuits.swap_states(model, capitals.tokens, capitals.tokens[order])
lens = capital_logits[:-1, order]  # what it reads in the state that is put in
lines = {"the model says, after the swap": swapped, "the lens reads in that state": lens}
lines = {name: x[:, row, theirs] - x[:, row, mine] for name, x in lines.items()}
plot_lines({name: x.mean(1) for name, x in lines.items()},
           f"The other capital minus the own one, {len(row)} swaps", x="state that is swapped",
           y="logit difference", bands=interval_bands({name: x.T for name, x in lines.items()}))

# %%
says = (swapped.argmax(-1) == theirs).float().mean(1)
reads = (lens.argmax(-1) == theirs).float().mean(1)
ranks = circuits.token_ranks(lens, theirs).median(1).values
flip = int((says > 0.5).float().argmax())
show_table([{"state": i, "model says it": says[i].item(), "lens has it on top": reads[i].item(),
             "median rank by the lens": int(ranks[i])}
            for i in range(max(0, flip - 3), min(n_layers, flip + 6))],
           caption="The other capital: share of swaps in which it is on top", digits=2)

# %%
verdict("the state decides before the lens has its answer on top", says[flip] > 0.5 > reads[flip],
        f"state {flip}: {100 * says[flip]:.0f} % of the swaps, {100 * reads[flip]:.0f} % on top of "
        f"the lens, median rank {ranks[flip]:.0f}", model=model)

# %% [markdown]
# *What to see:* up to state 23 the swap changes nothing: the model names the capital of its own country in every
# one of the swaps, the other one ten logits behind. With state 24 it names the *other* one, in every swap. There
# is nothing in between: the city arrives at the last position in layer 23, whose attention also gave most to
# ` Paris` in section 4, and from then on this state decides.

# %%
chapter.reveal("swap_state_10", model=model)

# %%
chapter.reveal("swap_state_24", model=model)

# %% [markdown]
# After 24 layers the city *is* here; the full stop on top of the lens says
# nothing about that. In no swap does the lens have the answer on top, and its median rank is about 2,000.
#
# Yet the lens is not blind. The *difference* of two answers jumps at the same state, from 0.1 to 10 logits.
# What is common to all states, and keeps full stops on top, cancels in it. (To the left of the jump a single
# pair may read several logits, since the lens likes some names better than others, whatever the state; over
# this ring of pairs such likings cancel.)
#
# ### A lens that learns the basis, and readers that read nothing
#
# A lens with an affine map for each state, $x \mapsto A x + b$, can make up for an offset, and for directions
# that later layers turn or scale. The **tuned lens** (Belrose et al. 2023) trains such maps so that norm and
# unembedding then give the model's *final* prediction. It never sees the right next token; it learns to say
# early what the model will say.

# %%
draw("tuned_lens")

# %% [markdown]
# *What to see:* the two lenses share everything but one box, a map learned for this state.
#
# How good is good? A map with $A = 0$ says the same wherever it is: it *reads nothing*. A map with $A = 1$
# and the difference of the means as $b$ only moves all states together. Whoever claims that a lens reads
# something has to beat these first.

# %% exercise="lenses_of_means"

# %% [markdown]
# Two more readers. The **mean prediction** says at every place how often each token is expected on average: it
# is the best that somebody can say who never looks. **Least squares** gives the affine map whose result is
# nearest to the final *state* (Din et al. 2023); it has a closed form and needs no training.
#
# Now train one. What to begin with is up to you: `start` may be the identity, which is the logit lens,
# or any lens that is better already. Two things keep it cheap. The states are computed once. And each step
# compares 2,048 tokens drawn anew (`Shortlist`), with both distributions scaled to sum to 1 on them: a loss
# to train with, and **not** your `lens_kl`, which we report.

# %% exercise="train_tuned_lens"

# %% [markdown]
# We learn from 36 windows of *Alice in Wonderland* and measure on *Pride and Prejudice*.

# %%
gap = max(1, n_layers // 6)
kept = [*range(gap, n_layers, gap), n_layers]
alice = windows(model.to_tokens(passage("alice"), truncate=False), 64, 36)
alice_states = residual_states(model, alice, kept)[:, :, 1:].flatten(1, 2)
same = TunedLens.identity(len(kept) - 1, model.cfg.d_model)
constant, shift = lenses_of_means(alice_states)
squares = circuits.least_squares_lens(alice_states, ridge=0.1)
short = train_tuned_lens(model, alice_states, start=same, steps=60)
tuned = train_tuned_lens(model, alice_states, start=squares, steps=100)

# %%
chapter.predict(
    "what_beats_what",
    choices=[
        "the lens trained from the identity",
        "least squares, never trained",
        "the mean prediction, which reads nothing",
    ],
)

# %%
held_out = states[kept][:, :, ::4].flatten(1, 2)
lenses = {"logit lens": same, "mean final state": constant, "shift by the means": shift,
          "trained 60 steps from the identity": short, "least squares": squares,
          "trained 100 steps from least squares": tuned}
windows_of = {
    name: kl_to_final(model, held_out, lens).unflatten(1, (len(pride), -1)).mean(-1)
    for name, lens in lenses.items()
}  # [map, window]
guess = circuits.kl_of_mean_prediction(model, alice_states[-1], held_out[-1]).mean().item()
columns = ["reader", *(f"state {state}" for state in kept[:-1])]
table = {name: x.mean(1).tolist() for name, x in windows_of.items()}
table["mean prediction"] = [guess] * (len(kept) - 1)
show_table([(name, *row) for name, row in table.items()], columns, digits=2,
           caption="KL to the final prediction on Pride and Prejudice, nats")

# %%
*others, ours = windows_of.values()
best = torch.stack(others).amin(0).clamp(max=guess)
ahead = [interval(row) for row in best - ours]
verdict("the lens trained from least squares is ahead of every other reader at every state",
        min(found.low for found in ahead) > 0,
        "; ".join(f"{state}: {found}" for state, found in zip(kept, ahead, strict=False))
        + f" nats, {ahead[0].n} windows", model=model)

# %% [markdown]
# *What to see:* row by row.
#
# - The **logit lens** loses to a map that says the same everywhere, at every state. It is the worst reader here.
# - **Shifting by the means** takes away most of its distance: from 14 nats to 4 at state 15. So most of what looked
#   like a foreign basis is an *offset*, the same under every text. And a shifted state reads little: up to state 20
#   it is behind the mean prediction.
# - **Sixty steps from the identity** look like a success beside the logit lens, and are none: at four of five states
#   they are behind the mean prediction, and at three behind a mere shift of the means too.
# - **Least squares** is ahead of everything that ignores the text, at every state. Here directions are turned
#   and scaled, and *this* gain is reading.
# - **A hundred steps from there** gain another .07 to .3 nats at every state. That lens is tuned. Belrose et al.
#   begin with the identity too, and train for far longer, on far more text than a notebook can.

# %%
chapter.reveal("what_beats_what", model=model)

# %% [markdown]
# Back to the capitals, through all of them: the median rank of the right one.

# %%
of_state = at_end[kept[:-1]]
rows = []
for name, lens in lenses.items():
    ranks = circuits.token_ranks(model.unembed(model.ln_final(lens(of_state))), mine)
    rows.append((name, *ranks.median(1).values.tolist()))
show_table(rows, columns,
           caption=f"Median rank of the right capital, {len(mine)} prompts; 0 is the top")

# %% [markdown]
# *What to see:* up to state 20 no reader finds the capital, and none should: the swap showed that it is not here
# before state 24. At state 25 least squares and the tuned lens have it on top for half of the prompts or more, where the logit lens
# has it at a rank of some hundreds.
#
# And look at the lens trained for 60 steps. On average it is far nearer to the end than the logit lens, and up to
# state 20 it ranks the capitals *lower*. A likely reason: KL weighs likely tokens, a capital is a rare word, and an
# offset learned from a novel pushes rare words down. A reader that is better on average may be worse at your
# question.
#
# The two experiments say different things: a lens shows that the answer *can be read* from a state, the
# swap that the state *is used* for it.

# %%
chapter.explain("what_a_lens_shows")

# %% [markdown]
# ## 7. What was written and is gone
#
# Direct attribution gives each write a share in the *final* sum. Suppose a later layer reads a write and
# takes it back: it writes the opposite. Then the first layer's share is as large as ever, the second's
# cancels it, and neither says so. Dao et al. (2023, arXiv 2310.07325) found heads that do this in a small
# model, and called it memory management.

# %%
draw("written_and_erased")

# %% [markdown]
# *What to see:* the orange stretch is as long as $w$ lives. Both arrows into the lane are large, and above the
# second nothing is left of $w$.
#
# To see it, follow what one layer wrote *about this prompt*, $w$: its write minus its write on a prompt with
# another answer. Replace it, and look at how much of what changes in later states lies along $w$.

# %% exercise="write_survival"

# %%
chapter.predict("direct_and_total", choices=["rises", "falls", "either"])

# %% [markdown]
# Now every layer, on six IOI prompts. Beside each write go 23 **random directions of the same length**:
# whatever is added to a state may be worn down by the layers above it, and only what is lost *beyond* that is
# erasure of this message. (`circuits.trace_writes??` shows how; your function's numbers are among its.)

# %%
batch = ioi_batch(model, 6, seed=0, templates=[0])
swapped_ioi = batch.corrupt("swap_s2")  # the subject becomes the answer
answers = torch.stack([batch.io, batch.s], dim=1)
trace = circuits.trace_writes(model, batch.tokens, swapped_ioi, answers, n_random=23)
layer = 2 * n_layers // 3
yours = write_survival(model, batch.tokens[:1], swapped_ioi[:1], layer)
gap = (yours - trace.shares[0, layer, 0]).abs().max()
verdict(f"your function says the same of layer {layer}", gap < 1e-2,
        f"largest difference {gap:.0e}")

# %%
left = {"the write about the answer": trace.left, "random directions": trace.random_left.mean(-1)}
plot_lines({name: values.mean(0) for name, values in left.items()},
           "How much of each attention layer's write is left at the end", x="layer that wrote it",
           y="share left in the last state", bands=interval_bands(left))

# %%
show_table(trace.table(8), digits=2, caption="The eight layers whose writes are worth most "
           "(IO minus S, logits; means of 6 prompts)")

# %%
total, direct = trace.total.mean(0), trace.direct.mean(0)
plot_scatter(("direct contribution (logits)", direct), ("total effect (logits)", total),
             "What a layer adds directly, and what its write is worth",
             labels=[f"layer {layer}" for layer in range(n_layers)], diagonal=True)

# %% [markdown]
# *What to see:* in the scatter, layers on the diagonal are worth what they add. **Layer 23** adds 8.6 logits and is
# worth 7.2. **Layer 20** is off it: it adds nothing directly (-.1) and is worth 3.4. Layer 19 is like it, in small.
# These are the layers of chapter 06's S-inhibition heads, above all 20.0: what they write tells later heads where
# *not* to look.
#
# The first figure is a warning. *Random directions are worn down too*: of whatever is added in the first ten layers, a
# tenth or less is left at the end, and half at layer 20. That little is left of a write says nothing by itself. Below layer
# 14 the writes fare about as random directions do; from 16 to 20, and at 25, 26 and 28, less is left of them.
#
# And erasure is not use. Of these layers only 19 and 20 are worth much; the others' writes are cleared
# away and were worth nothing. What makes layer 20 a message is both together: worth much, and gone.

# %%
chapter.reveal("direct_and_total", model=model)

# %%
lowest = int((total - direct).abs().argmax())
own = trace.shares[:, lowest].mean(0)  # [direction, state]
plot_lines({"the write about the answer": own[0], "random directions, mean": own[1:].mean(0)},
           f"Layer {lowest}: how much of its write is left in each state",
           x="state (layers done)", y="share of the write",
           bands={"random directions, mean": (own[1:].amin(0), own[1:].amax(0))})

# %%
lower = (trace.left[:, lowest, None] < trace.random_left[:, lowest]).sum(-1)
verdict(f"layer {lowest}'s write is erased beyond random directions", (lower >= 22).all(),
        f"on each of {len(lower)} prompts less is left of it than of {int(lower.min())} of 23; "
        f"{interval(trace.erased[:, lowest])} more is gone", model=model)

# %% [markdown]
# *What to see:* both lines begin at the layer's own state. The shaded range holds all 23 random directions. The
# message falls out of it, from .6 to .1, where they fall from .8 to .5: later layers wrote the opposite of *this*.
#
# For such a layer direct attribution gives a wrong number: nothing, for a write that is worth more than 3 logits. Its
# write is a message to later layers and no vote: they read it, act on it, and clear it away.
#
# Is layer 20 a messenger in every task? The same on eight of the capitals:

# %%
eight = slice(0, 8)
asked = torch.stack([mine, theirs], dim=1)[eight]
capitals_trace = circuits.trace_writes(model, capitals.tokens[eight], capitals.tokens[order][eight],
                                       asked, n_random=1)
best = int(capitals_trace.total.mean(0).argmax())
show_table({f"layer {i}": {"direct": str(interval(capitals_trace.direct[:, i])),
                           "total": str(interval(capitals_trace.total[:, i]))}
            for i in sorted({lowest, best})}, caption="Own capital minus the other one, logits")

# %% [markdown]
# *What to see:* here layer 20 is worth nothing: a layer is a messenger in a task, not as such. And direct attribution can
# also say too *little* of a vote: layer 23 adds 6 logits and is worth 15, since layers above write more of the same.
#
# And here is one more reason why early states read badly: most of what they hold is not there any more at the end, message
# or not. A reading of an early state with the last layer's eyes reads as votes what was never meant to be counted.

# %% [markdown]
# ## How sure is this?
#
# Other prompts, texts and seeds than the cells above, with intervals and controls:

# %%
chapter.how_sure()

# %%
chapter.progress()

# %% [markdown]
# ## What was found, what the literature says, where to go on
#
# In SmolLM2:
#
# - The logit lens is the model with its later layers silenced. It shows known capitals at the last layer only, and 25 of 30
#   states are further from the end than even guessing.
# - For a lens the norm is computed anew for each state; for an attribution the scale of the run is kept, and all contributions
#   sum to the logit. Centring is part of LayerNorm and not of RMSNorm. A folded $W_U$ is not $W_E^T$.
# - The strongest head for the right name, 23.3, works by lowering the wrong one.
# - State 24 decides the capital, and the lens has it on top six layers later. The difference of two answers shows it at once.
# - Most of the lens's distance is an offset. A trained lens has to beat readers that ignore the text: sixty steps from the
#   identity do not, a hundred from least squares do.
# - On IOI layer 20's message is worth more than 3 logits, adds none, and is erased beyond what random directions
#   lose.
#
# **The same on GPT-2 small.** Set `CIRCUITS_COURSE_MODEL=gpt2-small` before you start the notebook and run it again;
# it needs the model from the Hugging Face hub (548 MB, once). nostalgebraist met the lens on GPT-2;
# Belrose et al. find it often brittle, and their tuned lens more predictive and less biased, on models of up to 20 billion
# parameters. GPT-2's norm is LayerNorm: look at the centring cell.
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
