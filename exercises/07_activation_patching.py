# %% [markdown]
# # 07 Activation patching
#
# **You will be able to** find out by experiment where in a model a piece of information sits, which head
# moves it and along which path; choose corruption, metric and direction of such an experiment; and
# say what each choice cannot see.
#
# **Time** 150 to 180 minutes. **You need** chapters 04 (induction heads, ablation), 05 (composition) and the
# prompts of 06 (indirect object identification). **Models** `induction-2l`, two logic gates written
# by hand, then SmolLM2-135M-Instruct. Its head numbers are measured here and nowhere published.
#
# A description of a circuit is a claim about causes. Activation patching tests it: run two prompts,
# copy one activation from one run into the other, and see whether the answer follows.

# %%
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model, show_table, verdict
from circuits_course.circuits import Head, gate_model, head_name, patching, strongest_heads
from circuits_course.data import LogitDifference, ioi_batch, one_match_prompts
from circuits_course.plots import draw, plot_bars, plot_heads, plot_lines, plot_matrix, plot_scatter

chapter = Chapter("07_activation_patching")

# %%
torch.set_grad_enabled(False)
model = load_model("induction-2l")
Prompt = str | Int[Tensor, "batch pos"]

# %% [markdown]
# ## Before you start
#
# Three questions from earlier chapters.

# %%
chapter.quiz("what_ablation_asks")

# %%
chapter.quiz("what_a_path_is")

# %%
chapter.quiz("why_logit_difference")

# %%
chapter.review()

# %% [markdown]
# ## 1. Two prompts that differ in one place
#
# We begin where we know the truth. In `q x b m z t q` an induction head says `x`. Change one symbol, and
# the reason for that answer is gone.
#
# The **clean** run is the one that does the task. The **corrupted** run is one that does not, and is
# otherwise as alike as possible. Whatever differs between the two runs can only come from that one
# place.

# %% tags=["nbval-check-output"]
clean_prompt, corrupt_prompt = "qxbmztq", "wxbmztq"
clean_logits, corrupt_logits = model(clean_prompt), model(corrupt_prompt)
show_table({name: {"prompt": " ".join(prompt),
                   "answer": model.to_string(logits[0, -1].argmax()[None])}
            for name, prompt, logits in (("clean", clean_prompt, clean_logits),
                                         ("corrupted", corrupt_prompt, corrupt_logits))})

# %% [markdown]
# ### What do we measure?
#
# A patched run lies somewhere between the two. We put it on a scale on which the corrupted run is 0 and
# the clean run is 1, by the **logit difference**: logit of the right answer minus logit of a wrong one.
#
# $$\frac{LD(patched) - LD(corrupted)}{LD(clean) - LD(corrupted)}$$
#
# Here `clean` and `corrupted` are the logits of the two unpatched runs, so that nobody can mix up the
# ends of the scale.

# %% exercise="patching_metric"

# %% tags=["nbval-check-output"]
metric = partial(patching_metric, clean=clean_logits, corrupted=corrupt_logits)
print(f"clean run {metric(clean_logits):.1f}, corrupted run {metric(corrupt_logits):.1f}")

# %% [markdown]
# ## 2. Where does it sit, and when does it move?
#
# Everything that layers tell each other goes through the residual stream. So we put back one vector of it:
# at one layer and one position, the clean run's, with all else corrupted. If the answer comes back, all
# that was needed passes there.

# %%
chapter.predict(
    "where_is_it",
    choices=[
        "at the first q, where the prompts differ",
        "at the x after it",
        "at the last q, where the answer is read",
    ],
)

# %% exercise="patch_residual"

# %% [markdown]
# A **sweep** makes this patch at every layer and position. The course's engine does it (`patching.patch_sweep`): it
# computes only what a patch changes. One entry must equal your function's, and all must equal
# TransformerLens' own sweep.

# %% tags=["nbval-check-output"]
from transformer_lens import patching as theirs

theirs.tqdm = list  # no progress bar
tokens = clean_tokens, corrupt_tokens = [model.to_tokens(p) for p in (clean_prompt, corrupt_prompt)]
sweep = patching.patch_sweep(model, *tokens, metric, ("layer", "position"), component="resid_pre")
_, clean_cache = model.run_with_cache(clean_tokens)
lens = theirs.get_act_patch_resid_pre(model, corrupt_tokens, clean_cache, metric)
yours = metric(patch_residual(model, clean_prompt, corrupt_prompt, 1, 2))
verdict("engine and TransformerLens agree everywhere", torch.allclose(sweep, lens, atol=1e-4))
verdict("and so does your function", abs(yours - sweep[1, 2]) < 1e-3, f"{yours:.2f} at layer 1, x")

# %%
words = model.to_str_tokens(clean_prompt)
plot_matrix(sweep, "The clean residual stream in the corrupted run",
            x=("position", words), y="layer it enters", unit="restored", diverging=True)

# %% [markdown]
# *What to see:* two dark cells, and they are not above one another. Into layer 0 the information comes at
# the first `q`: 1.00. Into layer 1 it comes at the `x`: 0.87. Layer 1 then moves it to the last position.

# %%
chapter.reveal("where_is_it")

# %% [markdown]
# ## 3. Which head moves it?
#
# A residual stream holds what everybody wrote. To name who did it, patch heads: their output $z$, the
# mix of values before $W_O$, at all positions. Write it for any set of heads; you will need pairs.

# %% exercise="patch_heads"

# %% [markdown]
# What you wrote is **denoising**: clean into corrupted. It asks whether a part is *sufficient* to bring the
# answer back, with all else corrupted. Turned round, corrupted into clean, it is **noising**: is the part
# *necessary*, with all else intact? (Heimersheim and Nanda 2024, arXiv 2404.15255.) Both by one function: exchange
# the prompts.

# %%
draw("two_directions")

# %% [markdown]
# *What to see:* the arrow goes from the run that gives to the run that is changed, and the thick lane above is
# all that can differ for it. Left, an answer may come back; right, it may be lost.

# %%
both = {mode: patching.patch_sweep(model, *tokens, metric, mode=mode)
        for mode in ("denoising", "noising")}
n_heads = model.cfg.n_heads
plot_matrix(torch.cat(list(both.values()), dim=1),
            "One head patched, in both directions",
            x=("direction and head", [f"{mode} {h}" for mode in both for h in range(n_heads)]),
            y="layer", unit="metric")

# %% tags=["nbval-check-output"]
previous, induction = (strongest_heads(both["denoising"][[la]], 1)[0][1] for la in (0, 1))
side = strongest_heads(1 - both["noising"][[0]], 2)[1][1]  # the second strongest when noised
rows = {}
for heads in ([(0, previous)], [(1, induction)], [(0, side)], [(0, previous), (0, side)]):
    denoised = metric(patch_heads(model, clean_prompt, corrupt_prompt, heads))
    noised = metric(patch_heads(model, corrupt_prompt, clean_prompt, heads))
    rows[" and ".join(map(head_name, heads))] = {"denoised": denoised, "noised": noised}
show_table(rows, caption="1 is the clean answer, 0 the corrupted one", digits=2)

# %% [markdown]
# *What to see:* the main road is the same from both sides. 0.3 and 1.3 restore the answer alone, and without
# either it is lost.
#
# But look at 0.0. Denoised it does nothing. Noised it costs 15 %. And 0.3 alone brings back 85 %, not
# all; with 0.0 beside it, 100 %. There is a **side road**: 0.0 also reads that `q`, and pushes the query of 1.3 a
# little towards `x`. Without 0.3, 1.3 does not look at `x` at all, and a little more of nothing is nothing. So
# only noising sees it, or patching the **pair**.
#
# ### Is that how the model works, or how it works here?
#
# One prompt is an anecdote. A thousand others:

# %%
others = one_match_prompts(1000, length=6, seed=1)
rows, ends = torch.arange(1000), [model(others.clean), model(others.corrupted)]
wrong = ends[1][:, -1].argmax(-1)
solved = (ends[0][:, -1].argmax(-1) == others.answer) & (wrong != others.answer)


def lost(heads: list[Head]) -> Float[Tensor, " prompt"]:
    """Share of the logit difference that noising these heads costs, for every solved prompt."""
    runs = [*ends, patch_heads(model, others.corrupted, others.clean, heads)]
    clean, corrupt, noised = (x[rows, -1, others.answer] - x[rows, -1, wrong] for x in runs)
    return ((clean - noised) / (clean - corrupt))[solved]


# %% tags=["nbval-check-output"]
table = {}
for head in (previous, side):
    cost = lost([(0, head)])
    above = int((cost > 0.05).sum())
    table[f"0.{head}"] = {"mean": cost.mean(), "median": cost.median(), "above 0.05": above}
show_table(table, caption=f"Lost by noising, {int(solved.sum())} prompts", digits=2)
first = (others.clean[:, 1] != others.corrupted[:, 1])[solved]
print(f"of these {above}, {int((cost > 0.05)[first].sum())} have the changed symbol at the first place, "
      f"as {int(first.sum())} of all have")

# %% [markdown]
# *What to see:* 0.3 is needed on every prompt. The side road of 0.0 shows on 20 of 981, and is nothing on the others.
# 15 of the 20 have the changed symbol at the first place: there 0.0 looks (chapter 03). And it takes a 1.3 that is
# undecided; in our prompt 1.3 gives `x` only 0.56 of its attention (chapter 04's trace). Both findings are true.
# "Head 0.0 matters" is true of one prompt, and that is how it has to be reported.
#
# ## 4. Gates: when the two directions differ
#
# Two tiny transformers written by hand. Each reads two bits; head 0.0 moves the first bit to the last
# position, head 0.1 the second, and a single neuron makes AND of them in one model, OR in the other.

# %% tags=["nbval-check-output"]
gates = {gate: gate_model(gate) for gate in ("and", "or")}
show_table({bits: {gate: g.to_string(g(f"{bits}=")[0, -1].argmax()[None])
                   for gate, g in gates.items()} for bits in ("00", "01", "10", "11")},
           caption="What each gate says")

# %%
chapter.predict("gates_denoising",
                choices=["1: the head is restored", "0: nothing changes", "half of each"])

# %% [markdown]
# To see a gate, compare two heads together with the two alone. Their **surplus** is what the pair does, less what
# each does by itself. Where effects add up it is 0.

# %% exercise="interactions"

# %% tags=["nbval-check-output"]
table = []
for gate, built in gates.items():
    runs = [built(bits) for bits in ("11=", "00=")]
    measure = partial(patching_metric, clean=runs[0], corrupted=runs[1])
    for mode in ("denoising", "noising"):
        found = interactions(built, "11=", "00=", measure, [(0, 0), (0, 1)], mode)
        table.append((gate, mode, *found.diagonal().tolist(), found[0, 1].item()))
show_table(table, ["gate", "direction", "0.0 alone", "0.1 alone", "surplus"], digits=0)

# %%
chapter.reveal("gates_denoising")

# %% [markdown]
# *What to see:* changes of the answer, from 0 up or from 1 down. Denoising the AND: neither head
# does anything alone, the pair does everything, surplus 1.
# Noising the AND, each head alone costs everything, so the pair costs *less than the sum*.
#
# The OR is the mirror image. Denoised, each head is enough. Noised, neither is missed, since the other
# still says 1; only the pair shows (surplus -1).
#
# So each direction is blind to one kind of gate. A head that noising does not find may be half of an OR, a
# **backup**. A head that denoising does not find may be half of an AND.

# %%
draw("gates")

# %% [markdown]
# *What to see:* one orange box in each half. Under an AND the head shows when it is broken, under an OR when it
# is restored.
#
# Now the pair of section 3:

# %% tags=["nbval-check-output"]
pair, table = [(0, previous), (0, side)], {}
for mode in ("denoising", "noising"):
    found = interactions(model, clean_prompt, corrupt_prompt, metric, pair, mode)
    one, other, surplus = found[0, 0], found[1, 1], found[0, 1]
    table[mode] = {f"0.{previous}": one, f"0.{side}": other, "surplus": surplus}
show_table(table, digits=2)

# %% [markdown]
# *What to see:* a weak AND. Denoised, a surplus of +0.15: 0.0 needs 0.3. Noised, the same 0.15 comes back as a
# surplus against the sum: once 0.3 is gone there is nothing left for 0.0 to spoil.

# %%
chapter.explain("and_or")

# %% [markdown]
# ## 5. A real model
#
# Now the task of chapter 06. The corruption changes one token: the second mention of the subject (S2)
# becomes the other name, so that the right answer and the wrong one exchange roles.

# %%
real = load_model("auto")
batch = ioi_batch(real, 4, templates=[0], order="ABBA", seed=1)
clean, logit_diff = batch.tokens, batch.metric
corrupted = {how: batch.corrupt(how) for how in ("swap_s2", "new_s2", "ABC", "swap_names")}
s2 = corrupted["swap_s2"]
high = logit_diff(real(clean)).item()
low = {how: logit_diff(real(tokens)).item() for how, tokens in corrupted.items()}
show_table(
    [("clean", high, batch.prompts[0].text)]
    + [(how, low[how], real.tokenizer.decode(x[0, 1:])) for how, x in corrupted.items()],
    ["run", "logit difference", "first prompt"],
    digits=2,
)

# %% [markdown]
# Four prompts in two mirrored pairs, of one template, so that the positions of all correspond. That is enough to
# learn the method and too few to publish: the table at the end says what holds on other templates.

# %%
gap_sweep = patching.GapSweep(real, clean, corrupted, logit_diff)
share = partial(gap_sweep, "swap_s2")  # of the gap that a patch closes
real_words = [word.strip() or word for word in real.to_str_tokens(clean[0])]
for name, places in batch.positions.items():
    real_words[int(places[0])] = name
real_words[0] = "BOS"
print(" ".join(real_words))

# %%
chapter.predict(
    "when_does_it_move",
    choices=["in the first third of the layers", "in the second third", "in the last third"],
)

# %%
resid = share("resid_pre")
plot_matrix(resid, "The clean residual stream in the corrupted run, real model",
            x=("position", real_words), y="layer it enters", unit="restored", diverging=True)

# %%
at_s2, at_end = (int(batch.positions[place][0]) for place in ("S2", "END"))
after_s2 = resid[:, at_s2 + 1]
layers = range(real.cfg.n_layers)
leaves = max((la for la in layers if resid[la, at_s2] > 0.5), default=0)
arrives = min((la for la in layers if resid[la, at_end] > 0.5), default=len(layers))
verdict("S2 holds more than half of it into layer 20, END from layer 24 on",
        (leaves, arrives) == (20, 24),
        f"S2 to layer {leaves}, END from layer {arrives}, of {len(layers)}", model=real)
most = int(after_s2.argmax())
without = logit_diff(patch_residual(real, s2, clean, most, at_s2 + 1))  # noised there
print(f"the word after S2 holds {after_s2.max():.2f} at layer {most}; "
      f"noised, it costs {(high - without) / (high - low['swap_s2']):.2f}")

# %% [markdown]
# *What to see:* one column, S2, holds everything from layer 0 on; then it is handed over to END, in layers 20 to
# 24 of 30.

# %%
chapter.reveal("when_does_it_move", model=real)

# %% [markdown]
# There is a second, pale column: the word after S2 (`handed`) comes to hold 9 %, and keeps it to the last layer. Heads that move
# "which name was repeated" put a copy there as well, and END reads some of it. Noised, that column costs 9 %, too. One of
# a sweep's blind spots: patches at END and at S2 together leave this tenth out.
#
# ### Which heads hand it over?

# %%
denoised = share()
plot_heads(denoised, "One head denoised, real model", unit="restored", diverging=True)

# %%
chosen = strongest_heads(denoised.abs(), 8)
by_position = share(over=("layer", "head", "position"), heads=chosen)
plot_matrix({head: by_position[head][at_s2:] for head in chosen},
            "The strongest heads, position by position", x=("position", real_words[at_s2:]),
            y="head", unit="restored", diverging=True)

# %% [markdown]
# *What to see:* each head does its work at one position. 17.4 acts at S2, *before* the hand-over: it puts something
# there that a later head fetches. The others act at END: 20.0 fetches, 23.3 and 29.1 write the answer. 29.0 and 24.4
# have a minus sign: restored, they push the answer away. GPT-2 small has such heads as well, the negative name movers
# (Wang et al. 2022).
#
# ### What about a head is it: where it looks, or what it moves?
#
# A head's output changes because its pattern changed (through its queries or its keys) or because the values
# did. Patch each alone. SmolLM2 has **grouped** keys and values: three query heads share one value head. Patching the
# shared `v` patches all three, whatever they do with it. To ask about one query head, mix the clean values by
# *its own* corrupted pattern, and put the result in the place of its $z$.

# %% exercise="read_values"

# %%
few, gap = chosen[:6], high - low["swap_s2"]
n_kv = getattr(real.cfg, "n_key_value_heads", None) or real.cfg.n_heads
group = real.cfg.n_heads // n_kv  # query heads that share a value head
parts = {}
for part in ("z", "pattern", "q", "keys", "values", "v"):
    asked = [(la, h // group if part == "v" else h) for la, h in few]
    found = share(part, heads=set(asked))
    parts[part] = [found[head].item() for head in asked]

# %%
plot_matrix(parts, "One part of one head denoised (v: shared by its group)", x=("head", few),
            y="what is patched", unit="restored", diverging=True)

# %% [markdown]
# *What to see:* go down each column. 17.4: `pattern` is as strong as `z`, and `q` with it. It *looks elsewhere*. 20.0,
# 23.3, 29.1 and 29.0: `values` are as strong as `z`. They look at the same place and *find something else there*.
# 24.4 looks elsewhere, and its values pull back a little.
#
# Now the last row. By the shared `v`, 29.1 and 29.0 do nothing: 0.01. They share a value head, one writes for
# the answer and one against it, and together they cancel. Read that row alone and you would conclude that values do not
# matter to them. And for 20.0 it gives the sum of 20.0, 20.1 and 20.2. On six other templates the shared row of 29.0 restores
# .18 in the mean and .45 at most: it is not always nothing, it is whatever the three add up to.
#
# Your function says the same of one head as the engine's row does:


# %%
def put_values(head: Head) -> Float[Tensor, ""]:
    """The logit difference with one head reading clean values by its corrupted pattern."""
    name = utils.get_act_name("z", head[0])
    _, new = real.run_with_cache(clean, names_filter=utils.get_act_name("v", head[0]))
    _, old = real.run_with_cache(s2, names_filter=utils.get_act_name("pattern", head[0]))

    def replace(z: Float[Tensor, "batch pos head d_head"], hook):
        z[:, :, head[1]] = read_values(old["pattern", head[0]], new["v", head[0]], head[1])
        return z

    return logit_diff(real.run_with_hooks(s2, fwd_hooks=[(name, replace)]))


# %%
reads = {head: ((put_values(head) - low["swap_s2"]) / gap).item() for head in few[3:5]}
same = all(abs(x - parts["values"][few.index(head)]) < 1e-3 for head, x in reads.items())
detail = ", ".join(f"{head_name(head)} {x:+.2f}" for head, x in reads.items())
verdict("your values, put in by hand, restore what the engine says", same, detail)

# %% [markdown]
# ## 6. Both directions on the real model
#
# What does it cost to take a head's clean output away?

# %%
noised = -share("z", "noising", heads=chosen)  # the share that is lost
plot_scatter(("restored by denoising", [denoised[head] for head in chosen]),
             ("lost by noising", [noised[head] for head in chosen]),
             "The same heads, denoised and noised", labels=[head_name(head) for head in chosen],
             diagonal=True)

# %% [markdown]
# *What to see:* points near the diagonal, 20.0 and 23.3 above it, 19.2 below. It is tempting to read a gate from a
# point: below, an OR (something else does its job in the clean run); above, an AND. Before you do, look at the
# corrupted prompt. `When Ben and Louis ..., Ben handed` is a *clean* prompt of the other order, BABA.

# %%
mirror = ioi_batch(real, 4, templates=[0], order="BABA", seed=1)
turned_s2 = mirror.corrupt("swap_s2")
turned = patching.gap_shares(real, mirror.tokens, turned_s2, mirror.metric, heads=chosen)
largest = max(float((turned[head] - noised[head]).abs()) for head in chosen)
verdict("denoising BABA prompts is noising ABBA prompts", largest < 1e-3,
        f"largest difference over these heads {largest:.0e}")

# %% [markdown]
# So with this corruption "sufficient" and "necessary" are one experiment on two orders, and a gap between them is a
# difference *between the orders*. Averaged over both, it is gone. 17.4 shows it on six other ABBA templates (last
# table): denoised it restores more than it costs noised. It speaks up when the second name is repeated, and little
# when the first is. A corruption that leaves no answer (`new_s2`, below) is not symmetric in this way.
#
# Gates are found by pairs. Four heads, from 17.4 at S2 to the last layer:

# %%
line = sorted(few[:4])
pairs = interactions(real, clean, s2, logit_diff, line) / gap
plot_matrix(pairs, "Single heads (diagonal) and the surplus of pairs, denoised",
            x=("head", line), y=("head", line), unit="restored", diverging=True)

# %% [markdown]
# *What to see:* 17.4 with 20.0 has a surplus of -0.19: the two together restore less than their sum, as links of one
# chain do, where the second passes on what the first says. 20.0 with 23.3 has +0.21, and 17.4 with 23.3 nearly as
# much. That is not 20.0 telling 23.3 anything: in these runs 23.3 has its clean output, whatever 20.0 does. A head
# above must answer to both. 24.4 hears 23.3 and writes against the name in the lead. Hold it as it was in the
# corrupted run:

# %%
hold = (24, 4) if real.cfg.n_layers > 24 else (real.cfg.n_layers - 1, 0)
name = utils.get_act_name("z", hold[0])
_, as_corrupted = real.run_with_cache(s2, names_filter=name)


def keep_corrupted(z: Float[Tensor, "batch pos head d_head"], hook):
    z[:, :, hold[1]] = as_corrupted[name][:, :, hold[1]]
    return z


with real.hooks(fwd_hooks=[(name, keep_corrupted)]):
    held = interactions(real, clean, s2, logit_diff, line[1:3]) / gap

# %%
rows = {"as it is": pairs[1:3, 1:3], f"{head_name(hold)} held": held}
show_table({how: [x[0, 0], x[1, 1], x[0, 1]] for how, x in rows.items()},
           ["", *(f"{head_name(head)} alone" for head in line[1:3]), "surplus"], digits=2)

# %% [markdown]
# *What to see:* with 24.4 held each of the two is worth more alone, .78 and .62, and the surplus is gone. Free, 24.4
# takes back .44 of 20.0's restored share and .21 of 23.3's, but of both together no more than of 20.0 alone (.46). On
# these prompts the surplus is its doing. A surplus says that two heads meet; it does not say where.
#
# ## 7. One path
#
# Patching a head changes everything above it. To learn *whom* a head tells, cut out one conversation:
# the **sender** says what it says on the corrupted prompt, and only one **receiver** hears it. All other
# heads are frozen as in the clean run; MLPs and norms are recomputed (Wang et al. 2022, arXiv
# 2211.00593, section 3.1).

# %%
frozen = [head_name((layer, h)) for layer in (0, 1) for h in range(4)]
draw("path_patching", sender=frozen.pop(previous), receiver=frozen.pop(3 + induction), frozen=frozen)

# %% [markdown]
# *What to see:* hatched heads write what they wrote in the clean run, so what the sender says has one way up:
# through the receiver.

# %% exercise="path_patch"

# %% tags=["nbval-check-output"]
sender, target = (0, previous), (1, induction)
table = {}
for source, kind in ((sender, "q"), (sender, "k"), (sender, "v"), ((0, side), "q")):
    to = (*target, kind)
    yours = metric(path_patch(model, clean_prompt, corrupt_prompt, source, to))
    engine = patching.path_patch(model, *tokens, source, to, metric)
    table[f"{head_name(source)} into its {kind}"] = {"yours": yours, "the engine": engine}
show_table(table, caption="Clean, but 1.3 hears one head as on the corrupted prompt", digits=2)

# %% [markdown]
# *What to see:* cutting 0.3's path into the keys loses everything, the other two nothing. That is K-composition,
# found by intervention, in three lines. The last line is the side road of section 3: 0.0 works through the *queries*
# of 1.3, and cutting that path costs 13 of its 15 %.
#
# On the real model we ask twice. 20.0 finds something else at S2: who put it there? And who speaks to the logits directly?

# %%
moves = [h for h, x in zip(few, parts["values"], strict=True) if x > 0.5 * denoised[h] > 0]
reader = min(moves, default=few[0])  # the lowest of those that find something else
receiver = (reader[0], reader[1] // group, "v")
below = [head for head in strongest_heads(denoised.abs(), 30) if head[0] < reader[0]][:3]
table = {}
for head in below:
    told = logit_diff(path_patch(real, clean, s2, head, receiver))
    table[head_name(head)] = {"lost": (high - told) / gap}
heard_by = [f"{reader[0]}.{receiver[1] * group + i}" for i in range(group)]
show_table(table, ["lost"], f"Told to the values that {', '.join(heard_by)} share", digits=2)

# %%
told = patching.path_patch_sweep(real, clean, s2, "logits", logit_diff)
directly = (high - told) / gap
plot_heads(directly, "What each head tells the logits directly", unit="lost", diverging=True)

# %% [markdown]
# Who is told by the reader, in turn? The engine's `path_patch`, which said the same as yours, into the queries of the
# strongest writers; and all paths as one picture.

# %%
from circuits_course.plots import plot_circuit

writers = [head for head in strongest_heads(directly.abs(), 5) if head[0] > reader[0]]
edges = [(head_name(w), "logits", directly[w]) for w in writers]
edges += [(name, head_name(reader), row["lost"], "V") for name, row in table.items()]
for head in writers:
    heard = patching.path_patch(real, clean, s2, reader, (*head, "q"), logit_diff)
    edges.append((head_name(reader), head_name(head), (high - heard) / gap, "Q"))
ends = dict.fromkeys(end for edge in edges for end in edge[:2] if end != "logits")
plot_circuit(dict.fromkeys(ends, ""), edges, "Paths that you patched on SmolLM2",
             unit="share of the gap lost")

# %% [markdown]
# *What to see:* 17.4 tells 20.0's value head .11, and of the others asked nobody tells it much. Ten heads say .05 or
# more to the logits: 23.3 with .73, and 29.0 and 24.4 against the answer. 17.4 and 20.0 are not among them: they work
# through others. In the picture, 20.0 tells the queries of 23.0 .08, and those of the other four next to nothing
# (pale). Follow the paths back from the logits, one receiver at a time, and a circuit appears. This is how the
# circuit of Wang et al. (2022) was found.
#
# ## 8. Attribution patching: all heads for the price of three runs
#
# A sweep takes one run for each head. A gradient gives an estimate for all at once: how much the
# metric changes for a tiny step, times the length of the step. Nanda proposed it in 2023 (*Attribution patching:
# activation patching at industrial scale*); Syed et al. (2023, arXiv 2310.10348) took it from heads to the paths between them.
#
# $$\sum (z_{clean} - z_{corrupted}) \cdot \frac{\partial\, metric}{\partial z}\Big|_{corrupted}$$

# %% exercise="attribution_patch"

# %%
estimate = attribution_patch(real, clean, s2, logit_diff) / gap
plot_scatter(("exact", denoised.flatten()), ("estimated", estimate.flatten()),
             "Attribution patching against the exact sweep",
             labels=[f"{la}.{h}" for la in range(real.cfg.n_layers)
                     for h in range(real.cfg.n_heads)], diagonal=True)

# %%
show_table({head_name(h): {"exact": denoised[h], "estimated": estimate[h]} for h in few},
           caption="The strongest heads", digits=2)

# %% [markdown]
# *What to see:* the heads of the last layers lie on the diagonal, for little stands between them and the logits. 20.0 and
# 17.4 get a third of their due: .13 for .34, .09 for .26. They work through other heads' attention. A correlation over
# all heads is high and says little: 250 of them sit at zero in both.
#
# ### Where it fails: saturation
#
# Back to the small model, where you know which two heads do the job.

# %%
chapter.predict("estimate_of_previous", choices=["about the same", "half of it", "next to nothing"])

# %% tags=["nbval-check-output"]
small = attribution_patch(model, clean_prompt, corrupt_prompt, metric)
exact = both["denoising"]
show_table({head_name(h): {"exact": exact[h].item(), "estimated": small[h].item()}
            for h in ((0, previous), (1, induction))}, digits=2)

# %%
chapter.reveal("estimate_of_previous")

# %% [markdown]
# Walk from the head's corrupted output to its clean one and watch
# (`patching.walk_head??` shows how).

# %%
shares = torch.linspace(0, 1, 21)
watch = (1, induction, -1, 2)  # attention of the induction head from the last position to x
walk = patching.walk_head(model, *tokens, metric, (0, previous), shares, watch)
plot_lines({"exact": walk.metric.tolist(),
            "the estimate's straight line": (shares * small[0, previous]).tolist(),
            f"attention of 1.{induction} to x": walk.attention.tolist()},
           f"From the corrupted to the clean output of 0.{previous}",
           x=("share of the way", shares), y="restored, and attention")

# %% [markdown]
# *What to see:* the curve is flat at the start, where the gradient is taken, and rises when the score of
# the right key comes near that of the resting place. This is **saturation**: where a softmax is decided,
# a small step changes nothing. An estimate of zero is no evidence that a head does not matter.
#
# The opposite happens, too. Exchange two symbols instead, so that the corrupted prompt has a match of its own:

# %%
swapped = [model.to_tokens(p) for p in ("qxbmwtq", "wxbmqtq")]
measure = partial(patching_metric, clean=model(swapped[0]), corrupted=model(swapped[1]))
over = attribution_patch(model, *swapped, measure)[0, previous]
walk = patching.walk_head(model, *swapped, measure, (0, previous), shares, watch)
plot_lines({"exact": walk.metric.tolist(),
            "the estimate's straight line": (shares * over).clamp(max=1.2).tolist()},
           f"Another corruption: the same walk of 0.{previous} (the line goes on to {over:.1f})",
           x=("share of the way", shares), y="restored")

# %% [markdown]
# *What to see:* the curve jumps to .3 within a tenth or two, rests there until three quarters of the way, and rises
# again to .9. Its slope at the start promises 3.7. Two softmax decisions lie on the way, first away from the wrong
# match, then to the right one, and the gradient sees the beginning of the first. On other prompts of this kind the
# exact value is near 1, and the estimate too large on half of them and too small on the other half (last table): the
# error has no fixed sign.
#
# ### Where it fails: cancellation
#
# A head's effects along two paths may have opposite signs. Their sum is smaller than either, and a modest error in
# one of them is as large as the whole. Here is such a head. 23.0 writes the answer, and 24.4 hears it and writes against it.
# We noise it, and estimate each path by its own gradient (`patching.attribution_path`):

# %%
giver, taker = (23, 0), (24, 4, "q")
if real.cfg.n_layers <= taker[0]:  # another model: its own strongest writer and a later head
    giver, taker = strongest_heads(directly[:-1].abs(), 1)[0], (real.cfg.n_layers - 1, 0, "q")
lost = -share("z", "noising", heads=[giver])[giver]
exact_path = (high - patching.path_patch(real, clean, s2, giver, taker, logit_diff)) / gap
guess_path = -patching.attribution_path(real, clean, s2, logit_diff, giver, taker) / gap
guess = -patching.attribution_patch(real, clean, s2, logit_diff, mode="noising")[giver] / gap
name = f"through the queries of {head_name(taker[:2])}"
table = {"to the logits directly": {"exact": directly[giver], "estimated": directly[giver]},
         name: {"exact": exact_path, "estimated": guess_path},
         "altogether": {"exact": lost, "estimated": guess}}
show_table(table, caption=f"Lost by noising {head_name(giver)}", digits=2)

# %% [markdown]
# *What to see:* +.23 directly, -.15 through 24.4, +.07 in all. The estimate of the second path is too large by .06,
# four tenths of it, and that is the whole of the sum: 23.0 is estimated at 0.00. A screen by the gradients of noising
# would have dropped the third strongest writer for the answer. (Denoised, the same head is estimated well: .11 for
# .10.) AtP* (Kramar et al. 2024, arXiv 2403.00745) recomputes the softmax against saturation and drops parts of the
# gradient against cancellation.
#
# And estimates cannot be added up. A gate again:

# %% tags=["nbval-check-output"]
says_one = LogitDifference(torch.tensor([2]), torch.tensor([1]))
slopes = attribution_patch(gates["or"], "11=", "00=", says_one)[0]
found = interactions(gates["or"], "11=", "00=", says_one, [(0, 0), (0, 1)])
together = found[0, 0] + found[1, 1] + found[0, 1]
show_table({"0.0": {"exact": found[0, 0].item(), "estimated": slopes[0].item()},
            "0.1": {"exact": found[1, 1].item(), "estimated": slopes[1].item()},
            "both": {"exact": together.item(), "estimated": slopes.sum().item()}},
           caption="An OR gate, denoised: change in logits", digits=0)

# %% [markdown]
# *What to see:* each estimate alone is right, and their sum is twice the truth. A straight line knows no gates.

# %%
chapter.explain("false_negative")

# %% [markdown]
# ## 9. Which corruption?
#
# A patch shows a head only if the two prompts make it *differ*. So the corruption decides what can be seen at
# all. Four of them for one task:
#
# - `swap_s2`: the other name at S2. The answer turns round.
# - `new_s2`: a third name there. Nothing is said twice any more.
# - `ABC`: three new names. All about these names is gone.
# - `swap_names`: the two names exchanged throughout. The same pattern of repetition, other content.
#
# How much of a head's output does a corruption touch?

# %% exercise="share_changed"

# %%
outputs = {how: real.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_z"))[1]
           for how, tokens in {"clean": clean, **corrupted}.items()}
touched = {how: torch.stack([share_changed(outputs["clean"]["z", la],
                                           outputs[how]["z", la]).amax(0)
                             for la in range(real.cfg.n_layers)]) for how in corrupted}

# %%
counts = {how: {"below 0.05": int((x < 0.05).sum()), "above 0.5": int((x > 0.5).sum())}
          for how, x in touched.items()}
show_table(counts, caption=f"Heads, of {denoised.numel()}, by the most that their output changes")

# %% [markdown]
# A head below 0.05 is the same in both runs: no patch can show it. That is a bound, not a finding: a head may change and not
# matter. So next the patches themselves, for the strongest heads of each corruption's estimate, and the two strongest
# previous-token heads, which theory says should matter when the names exchange places.

# %%
from circuits_course.circuits import head_scores

estimates = {how: patching.attribution_patch(real, clean, x, logit_diff) / (high - low[how])
             for how, x in corrupted.items()}
looks_back = head_scores(real, clean, lambda pattern: pattern.diagonal(-1, -2, -1).mean(-1))
seen = {*few, *strongest_heads(looks_back, 2)}
seen = sorted(seen.union(*(strongest_heads(x.abs(), 3) for x in estimates.values())))
exacts = {how: gap_sweep(how, heads=seen) for how in corrupted}

# %%
plot_matrix({how: [exact[h] for h in seen] for how, exact in exacts.items()},
            "The same heads under four corruptions", x=("head", seen), y="corruption",
            unit="restored", diverging=True)

# %%
missed = max(seen, key=lambda h: abs(exacts["swap_names"][h]) - abs(estimates["swap_names"][h]))
verdict("exchanging the names brings up head 16.0, and its estimate misses it", missed == (16, 0)
        and exacts["swap_names"][missed] > 0.3 > 10 * estimates["swap_names"][missed],
        f"{head_name(missed)}: exact {exacts['swap_names'][missed]:.2f}, "
        f"estimated {estimates['swap_names'][missed]:.3f}", model=real)

# %% [markdown]
# *What to see:* heads that appear in one row only. 17.4 and 20.0 carry "which name is said twice": they show where S2 changes, and vanish
# where the pattern of repetition stays (`swap_names`) or where the answer no longer depends on it (`ABC`). 16.0 shows
# only when the first names change places: .42, and .00 in all other rows. 23.3, which writes a name, dominates where the
# names are new: .82. None of the rows is "the" circuit; each answers the question that its corruption asks.
#
# And the screen by gradient has holes: 16.0 is estimated at .006. Screen with estimates, add what theory suggests,
# and check by exact patches.
#
# ### Noise in place of another name?
#
# Older work corrupts by adding Gaussian noise to embeddings (Meng et al. 2022, arXiv 2202.05262, three standard
# deviations). Zhang and Nanda (2024, arXiv 2309.16042) advise against it: noise is like nothing the model
# has ever read. How far off is it? (`patching.patch_under_noise??` shows how.)

# %%
where_s2 = batch.positions["S2"]
under = partial(patching.patch_under_noise, real, clean, where_s2, logit_diff, few)
noisy = [under(seed=seed) for seed in range(3)]
rows = [[exacts[how][head].item() for head in few] for how in ("swap_s2", "new_s2")]
rows += [((run.patched - run.corrupted) / (high - run.corrupted)).tolist() for run in noisy]
plot_matrix(torch.tensor(rows),
            "Tokens replaced against noise added, at the same position", x=("head", few),
            y=("corruption", ["swap_s2", "new_s2", *(f"noise {seed}" for seed in range(3))]),
            unit="restored", diverging=True)

# %%
print(f"nearest token: {noisy[0].names:.1f} from a name, {noisy[0].distance:.1f} from a noised one")

# %% [markdown]
# *What to see:* the noised vector lies six times as far from any token as a name lies from its neighbour. The heads
# of the last layers come out alike. 17.4 does not: .26 and .16 with names, .06 to .12 with noise. It compares S2 with
# the earlier names, and is given a vector that is no name at all.
#
# ## 10. Which metric?
#
# The same patched runs, measured in four ways.

# %%
chapter.predict(
    "negative_heads",
    choices=["the logit difference", "the probability of the right answer", "both alike"],
)


# %%
def four_metrics(logits: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, "4"]:
    """Means over prompts, of the right answer at the last position."""
    last, right = logits[:, -1], batch.io[:, None]
    chances = last.softmax(-1).gather(-1, right).mean()
    log_chances = last.log_softmax(-1).gather(-1, right).mean()
    rank = (last > last.gather(-1, right)).sum(-1).float().mean()
    return torch.stack([logit_diff(logits), chances, log_chances, rank])


# %%
runs = {head: patch_heads(real, clean, s2, [head]) for head in few}
unpatched, whole = real(s2), real(clean)
bad, good = four_metrics(unpatched), four_metrics(whole)
on_scale = torch.stack([(four_metrics(run) - bad) / (good - bad) for run in runs.values()], dim=1)
plot_matrix(on_scale,
            "One patch, four metrics, each from corrupted (0) to clean (1)", x=("head", few),
            y=("metric", ["logit difference", "probability", "log-probability", "rank"]),
            unit="restored", diverging=True)

# %% [markdown]
# *What to see:* in the row "probability" the negative heads all but vanish: -.02 and -.02, where the logit difference
# has -.25 and -.14. In the corrupted run the right answer has a probability of .009, so there is nothing left to lose
# (Zhang and Nanda 2024). Log-probability has room below. The rank flies off the scale: it counts tokens that were
# close together.

# %%
chapter.reveal("negative_heads", model=real)

# %% [markdown]
# ### What the logit difference cannot tell
#
# It also rises if a patch merely damages the *wrong* answer. A logit difference is a difference of log-probabilities, so its
# change has two parts.

# %% exercise="split_change"

# %%
table = {}
for head, run in runs.items():
    up, down = split_change(unpatched, run, batch.io, batch.s).tolist()
    table[head_name(head)] = {"right answer rises": up, "wrong answer falls": down}
up, down = split_change(unpatched, whole, batch.io, batch.s).tolist()
table["clean run"] = {"right answer rises": up, "wrong answer falls": down}
show_table(table, caption="Change of log-probability, in nats", digits=2)

# %% [markdown]
# *What to see:* half and half in the clean run (4.8 and 4.8), and about two thirds of each head's effect is a rise of
# the right answer. So no head here works by damage alone. (23.3 writes *against* the name at S2. In the corrupted run
# that is the right answer: restored, it stops pushing it down, and pushes the other one down instead.) Report both
# parts, or a second metric.
#
# ## 11. Zero, mean, resample
#
# Taking a head away needs no second prompt, only something to put in its place. Zeros? Its mean? What it said on another prompt
# (**resampling**)?

# %% exercise="mean_ablate"

# %%
reference, kinds = batch.abc_reference(16)
same = {"reference": reference, "groups": batch.groups, "reference_groups": kinds}
ways = patching.ablations(real, clean, ("zero", "mean", "resample"), **same)

# %%
first_layer = [(0, h) for h in range(real.cfg.n_heads)]
looked_at = [*first_layer, *few[:4]]
without = {way: ablation.one_by_one(looked_at, logit_diff) for way, ablation in ways.items()}
cost = {way: [values[h].item() - high for h in looked_at] for way, values in without.items()}
plot_matrix(cost, "One head taken away: the first layer, then four strong heads",
            x=("head", looked_at), y="put in its place", unit="change of the logit difference",
            diverging=True)

# %%
yours = logit_diff(mean_ablate(real, clean, reference, [few[0]])).item() - high
package = cost["mean"][len(first_layer)]
verdict("your mean_ablate and the package agree", abs(yours - package) < 1e-2, f"{yours:.2f}")
sizes = {way: torch.tensor(x[: len(first_layer)]).abs().mean().item() for way, x in cost.items()}
show_table(sizes, ["put in its place", "mean size of the change, layer 0"], digits=2)

# %% [markdown]
# *What to see:* zeroed, the heads of the first layer move the logit difference by .42 in the mean, 0.8 by more than
# 1. Replaced by their mean they move it by less than a tenth. They say much the same on every prompt, and later
# layers expect it: zero is an input they have never had. The mean keeps what is constant. Resampling keeps the output
# one that really occurs, and scatters with the prompt it came from.

# %%
table = {head_name(head): {"by its mean": cost["mean"][len(first_layer) + i],
                           "by its output after swap_s2": -noised[head].item() * gap}
         for i, head in enumerate(few[:4])}
show_table(table, caption="Replaced ...: change of the logit difference", digits=2)

# %% [markdown]
# *What to see:* noising costs two to three times as much. Mean ablation takes the information away. Noising puts the *opposite*
# information in. "Without this head" depends on what is there instead.
#
# ## 12. Self-repair
#
# Take away the head that adds most to the logit difference *directly*, and look at what the later parts do.
#
# The final residual stream is a sum, so the logit difference is one too: each head adds its write, divided by the
# final norm's scale, times (column of IO minus column of S) of $W_U$ (`patching.direct_effects`). We measure it in
# the clean run and in the ablated one.

# %%
chapter.predict("after_the_knock_out", choices=["by that amount", "by less", "by more"])

# %%
before = patching.direct_effects(real, clean, logit_diff)
strongest = strongest_heads(before.heads.mean(0), 1)[0]
mean_of_it = ways["mean"].instead[strongest[0]][:, :, strongest[1]]
after = patching.direct_effects(real, clean, logit_diff, {strongest: mean_of_it})
own = (before.heads - after.heads).mean(0)[strongest].item()
print(f"{head_name(strongest)} added {own:.2f} directly; "
      f"the logit difference fell by {before.metric - after.metric:.2f}")

# %% [markdown]
# A direct effect can change for two reasons. The part writes something else. Or it writes the same, and the final norm
# divides by another number, since the residual stream has lost a vector. Only the first is repair.

# %% exercise="split_repair"

# %%
written, scaled = split_repair(before.parts, after.parts, before.scale, after.scale)
n_in_heads = denoised.numel()
change = written[:n_in_heads].unflatten(0, denoised.shape).clone()
change[strongest] = 0.0
reacting = strongest_heads(change.abs(), 4)
bars = {head_name(head): change[head].item() for head in reacting}
bars["other heads"] = change.sum().item() - sum(bars.values())
bars["MLPs"] = written[n_in_heads:].sum().item()
bars["norm's scale"] = scaled.sum().item()
plot_bars(bars, f"What the rest does when {head_name(strongest)} is knocked out", x="part",
          y="change of direct effect, logits")

# %%
back = sum(bars.values())
print(f"taken away {own:.2f}; the rest gives back {back:+.2f}, {100 * back / own:.0f} %")

# %% [markdown]
# *What to see:* a lot happens and little is repaired. 24.4 gives back about 1: it is a *negative* head, which writes against
# whatever name is in the lead, and has less to write against when the lead is gone. McDougall et al. (2023, arXiv 2310.04625) call this copy
# suppression, and find that it explains part of GPT-2 small's self-repair. But 29.1 and the MLPs take about as much: they
# had been building on what 23.3 wrote. The norm's scale does next to nothing here.
#
# The bars differ in sign, the sum stays near 0: SmolLM2 does not repair this head. In GPT-2 small, Wang et al. (2022) found that knocking out all three name movers costs 5 %; Rushing and
# Nanda (2024, arXiv 2402.15390) find self-repair across models imperfect and noisy. The effect of knocking a head out is what the head adds, minus what others make
# up, plus what others lose. A head that can be replaced looks unimportant, and so does each of its replacements.

# %%
chapter.reveal("after_the_knock_out", model=real)

# %%
chapter.explain("which_experiment")

# %% [markdown]
# ## 13. Look around
#
# Every sweep of this chapter, by button: corruption, component, direction. A sweep runs when it is asked for the
# first time; the ones by head take some seconds. By keyboard: Tab moves on, Enter presses.

# %%
from circuits_course.plots import PatchingExplorer

two = slice(0, 2)  # one mirrored pair, so that nobody waits long
choices = {"swap_s2": s2[two], "new_s2": corrupted["new_s2"][two]}
asked = LogitDifference(batch.io[two], batch.s[two])
PatchingExplorer(patching.GapSweep(real, clean[two], choices, asked), list(choices),
                 words=real_words, start={"corruption": "new_s2", "component": "resid_pre"})

# %% [markdown]
# ## How sure is this?
#
# Each sentence below was tested on prompts, seeds and templates that this notebook does not use.

# %%
chapter.how_sure()

# %%
chapter.progress()

# %% [markdown]
# ## The same on GPT-2 small
#
# Optional: `CIRCUITS_COURSE_MODEL=gpt2-small` before you start the notebook runs it on the literature's model. It has no
# grouped keys, so the rows `v` and `values` agree; its negative name movers are 10.7 and 11.10, and what looks for S2 is
# 7.3, 7.9, 8.6 and 8.10 (Wang et al. 2022). Head numbers in this chapter's text are SmolLM2's: read yours off your own tables.
#
# ## What you measured, what the literature says, where to go on
#
# You followed one piece of information through two models: by layer and position, by head, by part of a head, by path.
# And each choice turned out to be part of the question:
#
# | choice | what it cannot see |
# |---|---|
# | denoising | one input of an AND |
# | noising | one input of an OR, heads with backups |
# | a corruption that is a clean prompt of another kind | sufficient from necessary: the directions change places |
# | one prompt | whether a side road is there on others |
# | corruption | heads that say the same on both prompts |
# | a shared `v` | heads of one group that cancel |
# | Gaussian noise | what heads do with inputs that occur |
# | probability as metric | negative heads, wherever the answer is improbable already |
# | logit difference | whether the right answer rose or the wrong one fell |
# | attribution patching | heads that work through a decided softmax; sums that cancel |
# | zero ablation | whether it was the information or the constant that was missed |
# | any ablation | what others made up for |
#
# - Heimersheim and Nanda 2024, *How to use and interpret activation patching* (arXiv 2404.15255).
# - Zhang and Nanda 2024, *Towards best practices of activation patching* (arXiv 2309.16042).
# - Wang et al. 2022 (arXiv 2211.00593): path patching at work. Goldowsky-Dill et al. 2023 (arXiv
#   2304.05969): its general form. Conmy et al. 2023 (arXiv 2304.14997): the search made automatic.
# - Nanda 2023, *Attribution patching* (neelnanda.io). Syed et al. 2023 (arXiv 2310.10348) and Kramar et al. 2024
#   (arXiv 2403.00745): its edges, and mending it.
# - Miller et al. 2024 (arXiv 2407.08734): a circuit's faithfulness swings with such choices.
#
# **08 Logit lens** asks what the model would say at each layer, without intervening. **10 Mystery circuits** hands you
# sealed models, and grades your claim by patching.
