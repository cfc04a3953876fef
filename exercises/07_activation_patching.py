# %% [markdown]
# # 07 Activation patching
#
# **You will be able to** find out by experiment where in a model a piece of information sits, which head
# moves it and along which path; choose corruption, metric and direction of such an experiment; and
# say what each choice cannot see.
#
# **Time** 100 to 120 minutes. **You need** chapters 04 (induction heads, ablation), 05 (composition) and the
# prompts of 06 (indirect object identification). **Models** `induction-2l`, two logic gates written
# by hand, then a real language model.
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
from transformer_lens import patching as theirs
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model
from circuits_course.circuits import (
    Ablation,
    Head,
    gap_sweep,
    gate_model,
    head_name,
    head_scores,
    patch_sweep,
    patching,
    strongest_heads,
)
from circuits_course.data import LogitDifference, ioi_batch
from circuits_course.plots import (
    PatchingExplorer,
    plot_bars,
    plot_heads,
    plot_lines,
    plot_matrix,
    plot_scatter,
)

torch.set_grad_enabled(False)
chapter = Chapter("07_activation_patching")
model = load_model("induction-2l")
Prompt = str | Int[Tensor, "batch pos"]
print("Set-up complete.")

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
for name, prompt, logits in (
    ("clean", clean_prompt, clean_logits),
    ("corrupted", corrupt_prompt, corrupt_logits),
):
    answer = model.to_str_tokens(logits[0, -1].argmax()[None], prepend_bos=False)[0]
    print(f"{name:9} {' '.join(prompt)} -> {answer}")

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

# %% exercise="position_sweep"

# %%
sweep = position_sweep(model, clean_prompt, corrupt_prompt, metric)
words = model.to_str_tokens(clean_prompt)
plot_matrix(
    sweep.round(decimals=2),
    "The clean residual stream in the corrupted run",
    x_labels=words,
    x_title="position",
    y_title="layer it enters",
    unit="restored",
    diverging=True,
)

# %% [markdown]
# *What to see:* two dark cells, and they are not above one another. Into layer 0 the information comes at
# the first `q`. Into layer 1 it comes at the `x`: by then a head has moved it one to the right, as
# chapter 04 said. Layer 1 then moves it to the last position, where the answer is read.
#
# Your sweep runs the whole model once for each cell. TransformerLens does the same; the course's
# engine (`circuits_course.circuits.patching`) computes only what a patch changes. All three must agree.

# %% tags=["nbval-check-output"]
clean_tokens, corrupt_tokens = (model.to_tokens(p) for p in (clean_prompt, corrupt_prompt))
_, clean_cache = model.run_with_cache(clean_tokens)
theirs.tqdm = list  # no progress bar
by_lens = theirs.get_act_patch_resid_pre(model, corrupt_tokens, clean_cache, metric)
by_engine = patch_sweep(
    model, clean_tokens, corrupt_tokens, metric, ("layer", "position"), component="resid_pre"
)
print("as TransformerLens:", torch.allclose(sweep, by_lens, atol=1e-4))
print("as the engine:     ", torch.allclose(sweep, by_engine, atol=1e-4))

# %% [markdown]
# ## 3. Which head moves it?
#
# A residual stream holds what everybody wrote. To name who did it, patch one head's output $z$: the
# mix of values before $W_O$, at all positions.

# %% exercise="patch_head"

# %% [markdown]
# What you wrote is **denoising**: clean into corrupted. It asks whether a part is *sufficient* to bring the
# answer back, with all else corrupted. Turned round, corrupted into clean, it is **noising**: is the part
# *necessary*, with all else intact? (Heimersheim and Nanda 2024, arXiv 2404.15255.)

# %% exercise="head_sweep"

# %%
both = {
    mode: head_sweep(model, clean_prompt, corrupt_prompt, metric, mode)
    for mode in ("denoising", "noising")
}
n_heads = model.cfg.n_heads
plot_matrix(
    torch.cat(list(both.values()), dim=1).round(decimals=2),
    "One head patched, in both directions",
    x_labels=[f"{mode} {h}" for mode in both for h in range(n_heads)],
    x_title="direction and head",
    y_title="layer",
    unit="metric",
)

# %% tags=["nbval-check-output"]
for mode, result in both.items():
    ours = patch_sweep(model, clean_tokens, corrupt_tokens, metric, mode=mode)
    print(f"{mode:10} as the engine:", torch.allclose(result, ours, atol=1e-4))
previous, induction = (strongest_heads(both["denoising"][[la]], 1)[0][1] for la in (0, 1))
print(f"strongest in layer 0: 0.{previous}, in layer 1: 1.{induction}")

# %% [markdown]
# *What to see:* the same two heads on both sides. On the left they are dark: each restores the answer. On the
# right all are dark (the clean run is at 1) except these two: without either, it is lost. In
# this circuit, a chain without side roads, the two directions say the same. That is a special case.
#
# ## 4. Gates: when the two directions differ
#
# Two tiny transformers written by hand. Each reads two bits; head 0.0 moves the first bit to the last
# position, head 0.1 the second, and a single neuron makes AND of them in one model, OR in the other.

# %% tags=["nbval-check-output"]
gates = {gate: gate_model(gate) for gate in ("and", "or")}
print("bits   and   or")
for bits in ("00", "01", "10", "11"):
    said = [gates[g].to_string(gates[g](f"{bits}=")[0, -1].argmax()[None]) for g in gates]
    print(f"{bits} {said[0]:>7} {said[1]:>5}")

# %%
chapter.predict(
    "gates_denoising",
    choices=["1: the head is restored", "0: nothing changes", "half of each"],
)

# %% tags=["nbval-check-output"]
print("gate  direction   0.0   0.1   both")
for gate, built in gates.items():
    runs = [built(bits) for bits in ("11=", "00=")]
    measure = partial(patching_metric, clean=runs[0], corrupted=runs[1])
    for mode in ("denoising", "noising"):
        alone = head_sweep(built, "11=", "00=", measure, mode)[0]
        both_heads = measure(runs[0] if mode == "denoising" else runs[1])
        numbers = " ".join(f"{abs(x.item()):5.0f}" for x in (*alone, both_heads))
        print(f"{gate:5} {mode:10} {numbers}")

# %% [markdown]
# *What to see:* read a row as "with this patch, how far towards 1". Denoising the AND: neither head
# does anything alone, and both together do everything. Noising it: each head alone costs everything. The OR
# is the mirror image. Denoised, each head is enough. Noised, neither is missed, since the other
# still says 1.
#
# So each direction is blind to one kind of gate. A head that noising does not find may be half of an OR, a
# **backup**. A head that denoising does not find may be half of an AND. Real circuits have both; run
# both directions, and where you suspect a gate, patch pairs.

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
clean = batch.tokens
corrupted = {how: batch.corrupt(how) for how in ("swap_s2", "new_s2", "ABC", "swap_names")}
logit_diff = batch.metric
high = logit_diff(real(clean)).item()
low = {how: logit_diff(real(tokens)).item() for how, tokens in corrupted.items()}
print(batch.prompts[0])
print(f"clean: mean logit difference {high:.2f}")
for how, value in low.items():
    print(f"{how:10} {value:6.2f}   {real.tokenizer.decode(corrupted[how][0, 1:])}")


# %% [markdown]
# Four prompts in two mirrored pairs, of one template, so that the positions of all correspond. That is enough to
# learn the method and too few to publish: chapter 06 measures the same model over templates and seeds.


# %%
def restored(metrics: Tensor, how: str = "swap_s2") -> Tensor:
    """On the scale from the corrupted run (0) to the clean run (1)."""
    return (metrics - low[how]) / (high - low[how])


s2 = corrupted["swap_s2"]
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
resid = restored(
    patch_sweep(real, clean, s2, logit_diff, ("layer", "position"), component="resid_pre")
)
plot_matrix(
    resid,
    "The clean residual stream in the corrupted run, real model",
    x_labels=real_words,
    x_title="position",
    y_title="layer it enters",
    unit="restored",
    diverging=True,
)

# %%
at_s2, at_end = (int(batch.positions[place][0]) for place in ("S2", "END"))
n_layers = real.cfg.n_layers
leaves = next(la for la in range(n_layers) if resid[la, at_s2] < 0.5)
arrives = next((la for la in range(n_layers) if resid[la, at_end] > 0.5), n_layers)
print(f"S2 holds more than half of it up to layer {leaves - 1} of {n_layers - 1}; "
      f"END holds more than half from layer {arrives} on.")  # fmt: skip

# %% [markdown]
# *What to see:* one column, S2, holds everything from layer 0 on; then it is handed over to END within a few
# layers. Before S2 the two runs are the same, so nothing there can matter. In between both columns are
# pale: some has moved, some not.
#
# ### Which heads hand it over?

# %%
denoised = restored(patch_sweep(real, clean, s2, logit_diff))
plot_heads(denoised, "One head denoised, real model", unit="restored", diverging=True)

# %%
chosen = strongest_heads(denoised.abs(), 8)
by_position = restored(
    patch_sweep(real, clean, s2, logit_diff, ("layer", "head", "position"), heads=chosen)
)
by_position = torch.stack([by_position[head] for head in chosen])
plot_matrix(
    by_position[:, at_s2:].round(decimals=2),
    "The strongest heads, position by position",
    x_labels=real_words[at_s2:],
    y_labels=[head_name(head) for head in chosen],
    x_title="position",
    y_title="head",
    unit="restored",
    diverging=True,
)

# %% [markdown]
# *What to see:* each head does its work at one position. Most act at END. Those that act at S2 act *before* the
# hand-over: they put something there that a later head fetches. Some have a minus sign: restored, they
# push the answer away. Nobody would have asked the model to have such heads.
#
# ### What about a head is it: where it looks, or what it moves?
#
# A head's output changes because its pattern changed (through its queries or its keys) or because the values
# did. Patch each alone.

# %%
few = chosen[:6]
n_kv = getattr(real.cfg, "n_key_value_heads", None) or real.cfg.n_heads
rows = {"z": torch.stack([denoised[head] for head in few])}
for part in ("pattern", "q", "k", "v"):
    shared = part in ("k", "v")  # several heads may share one key and value head
    asked = [(la, h * n_kv // real.cfg.n_heads if shared else h) for la, h in few]
    found = patch_sweep(real, clean, s2, logit_diff, component=part, heads=set(asked))
    rows[part] = restored(torch.stack([found[head] for head in asked]))
plot_matrix(
    torch.stack(list(rows.values())).round(decimals=2),
    "One part of one head denoised",
    x_labels=[head_name(head) for head in few],
    y_labels=list(rows),
    x_title="head",
    y_title="what is patched",
    unit="restored",
    diverging=True,
)

# %% [markdown]
# *What to see:* go down each column. Where `pattern` is as strong as `z`, the head looks elsewhere in
# the two runs; `q` or `k` below it say which side made it do so. Where `v` is as strong as `z`, it
# looks at the same place and finds something else there. Both occur, so heads of one circuit can
# carry the same information in two ways. A part may even exceed the whole, when the other parts pull back.
# (With grouped keys and values, `k` and `v` belong to several heads at once.)
#
# ## 6. Both directions on the real model

# %%
noised = patch_sweep(real, clean, s2, logit_diff, mode="noising", heads=chosen)
lost = torch.stack([(high - noised[head]) / (high - low["swap_s2"]) for head in chosen])
gained = torch.stack([denoised[head] for head in chosen])
plot_scatter(
    gained,
    lost,
    "The same heads, denoised and noised",
    labels=[head_name(head) for head in chosen],
    x_title="restored by denoising",
    y_title="lost by noising",
)

# %%
gap = gained.abs() - lost.abs()
for i in (int(gap.argmax()), int(gap.argmin())):
    more = "denoising" if gap[i] > 0 else "noising"
    print(f"{head_name(chosen[i])}: denoising {gained[i]:.2f}, noising {lost[i]:.2f}: "
          f"{more} shows more")  # fmt: skip

# %% [markdown]
# *What to see:* for a chain all points would lie on the diagonal. A head that restores more than its loss costs
# behaves like an input of an OR: something else does the same job in the clean run. One whose loss costs more
# than it restores behaves like an input of an AND: it needs company. These numbers are a reason to look
# further, and no proof of a gate.
#
# ## 7. One path
#
# Patching a head changes everything above it. To learn *whom* a head tells, cut out one conversation:
# the **sender** says what it says on the corrupted prompt, and only one **receiver** hears it. All other
# heads are frozen as in the clean run; MLPs and norms are recomputed (Wang et al. 2022, arXiv
# 2211.00593, section 3.1).

# %% exercise="path_patch"

# %% tags=["nbval-check-output"]
sender, target = (0, previous), (1, induction)
print(f"clean, but 1.{induction} hears 0.{previous} as on the corrupted prompt:")
for kind in "qkv":
    yours = metric(path_patch(model, clean_prompt, corrupt_prompt, sender, (*target, kind)))
    engine = patching.path_patch(
        model, clean_tokens, corrupt_tokens, sender, (*target, kind), metric
    )
    print(f"  in its {kind}: {abs(yours):.1f}   as the engine: {abs(engine - yours) < 1e-3}")

# %% [markdown]
# *What to see:* cutting the path into the keys loses everything, the other two nothing. That is K-composition,
# found by intervention, in three lines.
#
# On the real model we ask twice. Of the heads that look at the same place and find something else there (strong
# `v`), to whom does the lowest listen? Your function answers that. And who speaks to the logits directly?

# %%
fetching = [h for i, h in enumerate(few) if abs(rows["v"][i]) > abs(rows["z"][i]) / 2]
reader = min(fetching, default=few[0])
receiver = (reader[0], reader[1] * n_kv // real.cfg.n_heads, "v")
below = [head for head in strongest_heads(denoised.abs(), 30) if head[0] < reader[0]][:3]
for head in below:
    told = logit_diff(path_patch(real, clean, s2, head, receiver)).item()
    print(f"{head_name(head)} to the values of {head_name(reader)}: "
          f"{(high - told) / (high - low['swap_s2']):+.2f} lost")  # fmt: skip

# %%
told = patching.path_patch_sweep(real, clean, s2, "logits", logit_diff)
directly = (high - told) / (high - low["swap_s2"])
plot_heads(directly, "What each head tells the logits directly", unit="lost", diverging=True)

# %% [markdown]
# *What to see:* few heads speak to the logits, and some of them against the answer. The heads that act at S2 are
# not among them: they work through others, and the print above shows through whom. Follow the paths back
# from the logits, one receiver at a time, and a circuit appears. This is how the circuit of Wang et
# al. (2022) was found.
#
# ## 8. Attribution patching: all heads for the price of three runs
#
# A sweep takes one run for each head. A gradient gives an estimate for all at once: how much the
# metric changes for a tiny step, times the length of the step (Syed et al. 2023, arXiv 2310.10348).
#
# $$\sum (z_{clean} - z_{corrupted}) \cdot \frac{\partial\, metric}{\partial z}\Big|_{corrupted}$$

# %% exercise="attribution_patch"

# %%
estimate = attribution_patch(real, clean, s2, logit_diff) / (high - low["swap_s2"])
plot_scatter(
    denoised.flatten(),
    estimate.flatten(),
    "Attribution patching against the exact sweep",
    labels=[f"{la}.{h}" for la in range(n_layers) for h in range(real.cfg.n_heads)],
    x_title="exact",
    y_title="estimated",
)

# %%
correlation = torch.corrcoef(torch.stack([denoised.flatten(), estimate.flatten()]))[0, 1]
print(f"correlation over {denoised.numel()} heads: {correlation:.2f}")
for head in strongest_heads((denoised - estimate).abs(), 3):
    print(f"{head_name(head)}: exact {denoised[head]:.2f}, estimated {estimate[head]:.2f}")

# %% [markdown]
# *What to see:* most points lie near the diagonal, for three runs in place of one a head. The heads of the last layers
# fare best, for little stands between them and the logits. Those that are underrated work through other
# heads' attention.
#
# ### Where it fails
#
# Back to the small model, where you know which two heads do the job.

# %%
chapter.predict("estimate_of_previous", choices=["about the same", "half of it", "next to nothing"])

# %% tags=["nbval-check-output"]
small = attribution_patch(model, clean_prompt, corrupt_prompt, metric)
for head in ((0, previous), (1, induction)):
    print(
        f"{head_name(head)}: exact {both['denoising'][head]:.2f}, estimated {abs(small[head]):.2f}"
    )


# %% [markdown]
# A head without which nothing works, and the estimate is zero. Walk from its corrupted output to its clean one
# and watch.


# %%
def along_the_way(name: str, head: int, shares: Tensor) -> tuple[list[float], list[float]]:
    """Metric, and the induction head's attention to x, with z part of the way to the clean z."""
    old, new = (
        model.run_with_cache(p)[1][name][:, :, head] for p in (corrupt_prompt, clean_prompt)
    )
    values, looks = [], []
    for share in shares:

        def part_of_the_way(z: Tensor, hook, share=share) -> Tensor:
            z[:, :, head] = (1 - share) * old + share * new
            return z

        with model.hooks(fwd_hooks=[(name, part_of_the_way)]):
            logits, cache = model.run_with_cache(corrupt_prompt)
        values.append(metric(logits).item())
        looks.append(cache["pattern", 1][0, induction, -1, 2].item())
    return values, looks


shares = torch.linspace(0, 1, 21)
name = utils.get_act_name("z", 0)
values, looks = along_the_way(name, previous, shares)
plot_lines(
    {
        "exact": values,
        "the estimate's straight line": (shares * small[0, previous]).tolist(),
        f"attention of 1.{induction} to x": looks,
    },
    f"From the corrupted to the clean output of 0.{previous}",
    x=shares,
    x_title="share of the way",
    y_title="restored, and attention",
)

# %% [markdown]
# *What to see:* the curve is flat at the start, where the gradient is taken, and rises when the score of
# the right key comes near that of the resting place. This is **saturation**: where a softmax is decided,
# a small step changes nothing. An estimate of zero is no evidence that a head does not matter.
#
# The opposite happens, too. Exchange two symbols instead, so that the corrupted prompt has a match of its own:

# %% tags=["nbval-check-output"]
exchanged = "qxbmwtq", "wxbmqtq"
measure = partial(patching_metric, clean=model(exchanged[0]), corrupted=model(exchanged[1]))
exact = patch_head(model, *exchanged, 0, previous)
too_much = attribution_patch(model, *exchanged, measure)[0, previous]
print(f"0.{previous}: exact {measure(exact):.1f}, estimated {too_much:.1f}")

# %% [markdown]
# Here the curve begins steeply and flattens, and the same head is overrated.
#
# The second way to fail is **cancellation**: a head's effects along different paths may have opposite signs. Their
# sum is then smaller than either, and a modest error in one of them is as large as the whole. On the real
# model, what do heads tell the logits directly, and what is left of it in the end?

# %%
in_total = dict(zip(chosen, lost))
plot_bars(
    {
        f"{head_name(head)} {what}": effect[head]
        for head in strongest_heads(directly.abs(), 12)
        if head in chosen
        for what, effect in (("directly", directly), ("in total", in_total))
    },
    "What noising a head costs: along the direct path alone, and altogether",
    y_title="lost",
    x_title="head",
)

# %% [markdown]
# *What to see:* compare the bars in pairs. Where "in total" is smaller, heads above have reacted against what
# this one said. AtP* (Kramar et al. 2024, arXiv 2403.00745) recomputes the softmax against saturation
# and drops parts of the gradient against cancellation.
#
# And estimates cannot be added up. A gate again:

# %% tags=["nbval-check-output"]
says_one = LogitDifference(torch.tensor([2]), torch.tensor([1]))
slopes = attribution_patch(gates["or"], "11=", "00=", says_one)[0]
one_by_one = head_sweep(gates["or"], "11=", "00=", says_one)[0] - says_one(gates["or"]("00="))
together = says_one(gates["or"]("11=")) - says_one(gates["or"]("00="))
for h in range(2):
    print(f"OR, head 0.{h}: exact {one_by_one[h]:.0f}, estimated {slopes[h]:.0f}")
print(f"OR, both: exact {together:.0f}, sum of the estimates {slopes.sum():.0f}")

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
# An estimate for all heads first, then the exact patch for those it ranks highest: cheap enough to do four times.
# To these we add the strongest previous-token heads, which theory says should matter for some.

# %%
looks_back = head_scores(real, clean, lambda pattern: pattern.diagonal(-1, -2, -1).mean(-1))
by_theory = strongest_heads(looks_back, 2)
estimates, exacts = {}, {}
for how, tokens in corrupted.items():
    gap = high - low[how]
    estimates[how] = patching.attribution_patch(real, clean, tokens, logit_diff) / gap
    candidates = {*strongest_heads(estimates[how].abs(), 6), *by_theory, *few}
    found = patch_sweep(real, clean, tokens, logit_diff, heads=candidates)
    exacts[how] = restored(found, how)
seen = sorted(
    {head for how in exacts for head in strongest_heads(exacts[how].nan_to_num().abs(), 4)}
)
for head in seen:  # fill in what another corruption brought up
    for how, tokens in corrupted.items():
        if exacts[how][head].isnan():
            one = patch_sweep(real, clean, tokens, logit_diff, heads=[head])
            exacts[how][head] = restored(one, how)[head]
plot_matrix(
    torch.tensor([[result[h] for h in seen] for result in exacts.values()]).round(decimals=2),
    "The same heads under four corruptions",
    x_labels=[head_name(head) for head in seen],
    y_labels=list(exacts),
    x_title="head",
    y_title="corruption",
    unit="restored",
    diverging=True,
)

# %%
spread = {head: max(float(exacts[how][head]) for how in exacts)
          - min(float(exacts[how][head]) for how in exacts) for head in seen}  # fmt: skip
most = max(spread, key=spread.get)
print(f"Most depends on the corruption: {head_name(most)}:",
      ", ".join(f"{how} {exacts[how][most]:.2f}" for how in exacts))  # fmt: skip
missed = max(
    ((how, head) for how in exacts for head in seen),
    key=lambda place: abs(exacts[place[0]][place[1]]) - abs(estimates[place[0]][place[1]]),
)
how, head = missed
print(f"Worst false negative of the estimate: {head_name(head)} under {how}: "
      f"exact {exacts[how][head]:.2f}, estimated {estimates[how][head]:.3f}")  # fmt: skip

# %% [markdown]
# *What to see:* heads that appear in one row only. Where the names stay the same and only S2 changes, heads that
# work at earlier positions are the same in both runs: no patch can show them. Where all names are new,
# heads that write "which name" dominate. None of the rows is "the" circuit; each is an answer to
# the question its corruption asks.
#
# And the screen by gradient has holes. The last line names the deepest: a head that the exact patch finds and
# the estimate does not, as in the small model. Screen with estimates, but add what theory suggests,
# and check by exact patches.
#
# ### Noise in place of another name?
#
# Older work corrupts by adding Gaussian noise to embeddings (Meng et al. 2022, arXiv 2202.05262, three standard
# deviations). Zhang and Nanda (2024, arXiv 2309.16042) advise against it: noise is like nothing the model
# has ever read. How far off is it?


# %%
rows_of_batch = torch.arange(len(clean))
where_s2 = batch.positions["S2"]
noise = torch.randn(len(clean), real.cfg.d_model, generator=torch.Generator().manual_seed(0))
noise = 3 * real.W_E.std() * noise


def add_noise(x: Float[Tensor, "batch pos d_model"], hook) -> Tensor:
    x = x.clone()
    x[rows_of_batch, where_s2] += noise
    return x


def nearest(x: Float[Tensor, "n d_model"], at_least: float = 1e-3) -> Tensor:
    """Distance of each vector to the closest token that it is not itself."""
    distances = torch.cdist(x, real.W_E)
    return distances.masked_fill(distances < at_least, torch.inf).amin(-1)


real_s2 = real.W_E[clean[rows_of_batch, where_s2]]
print(f"distance to the nearest other token: names {nearest(real_s2).mean():.1f}, "
      f"noised {nearest(real_s2 + noise).mean():.1f}")  # fmt: skip

# %%
_, real_clean_cache = real.run_with_cache(
    clean, names_filter=[utils.get_act_name("z", la) for la in range(n_layers)]
)


def logits_with(head: Head | None, base: Tensor, hooks: list) -> Tensor:
    """Logits on `base` under some hooks, one head's output taken from the clean run."""
    hooks = list(hooks)
    if head is not None:
        name = utils.get_act_name("z", head[0])

        def put(z: Tensor, hook) -> Tensor:
            z = z.clone()
            z[:, :, head[1]] = real_clean_cache[name][:, :, head[1]]
            return z

        hooks.append((name, put))
    return real.run_with_hooks(base, fwd_hooks=hooks)


noisy = [("hook_embed", add_noise)]
floor = logit_diff(logits_with(None, clean, noisy)).item()
with_noise = [
    (logit_diff(logits_with(head, clean, noisy)).item() - floor) / (high - floor) for head in few
]
plot_matrix(
    [[exacts[how][head].item() for head in few] for how in ("swap_s2", "new_s2")] + [with_noise],
    "Tokens replaced against noise added, at the same position",
    x_labels=[head_name(head) for head in few],
    y_labels=["swap_s2", "new_s2", "noise"],
    x_title="head",
    y_title="corruption",
    unit="restored",
    diverging=True,
)

# %% [markdown]
# *What to see:* the noised vector lies several times farther from any token than tokens lie from each other. Some heads
# come out alike. Look for those that do not: a head that compares S2 with earlier names is
# given a vector that is no name at all, so its reaction tells little about what it does with
# names. Noise at another place, of another size, gives another picture; a name is a name.
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
def four_metrics(logits: Float[Tensor, "batch pos d_vocab"]) -> dict[str, float]:
    """Mean over prompts, of the right answer at the last position."""
    last, right = logits[:, -1], batch.io[:, None]
    return {
        "logit difference": logit_diff(logits).item(),
        "probability": last.softmax(-1).gather(-1, right).mean().item(),
        "log-probability": last.log_softmax(-1).gather(-1, right).mean().item(),
        "rank": (last > last.gather(-1, right)).sum(-1).float().mean().item(),
    }


ends = [four_metrics(real(tokens)) for tokens in (s2, clean)]
measured = {head: four_metrics(logits_with(head, s2, [])) for head in few}
on_scale = [
    [(measured[head][m] - ends[0][m]) / (ends[1][m] - ends[0][m]) for head in few] for m in ends[0]
]
plot_matrix(
    torch.tensor(on_scale).round(decimals=2),
    "One patch, four metrics, each on its scale from corrupted (0) to clean (1)",
    x_labels=[head_name(head) for head in few],
    y_labels=list(ends[0]),
    x_title="head",
    y_title="metric",
    unit="restored",
    diverging=True,
)

# %%
negative = min(few, key=lambda head: float(denoised[head]))
column = few.index(negative)
for i, (m, at) in enumerate(ends[0].items()):
    print(f"{m:17} corrupted {at:8.3f}, with {head_name(negative)} {measured[negative][m]:8.3f}, "
          f"clean {ends[1][m]:8.3f}: {on_scale[i][column]:+.2f}")  # fmt: skip

# %% [markdown]
# *What to see:* in the row "probability" the negative heads all but vanish. In the corrupted run the right
# answer has next to no probability, so there is nothing left to lose (Zhang and Nanda 2024). The
# logit difference and the log-probability have room below. The rank may fly off the scale: it counts
# tokens that were close together. But mind what the logit difference cannot tell: it also rises if a
# patch merely damages the *wrong* answer. Report a second metric.
#
# ## 11. Zero, mean, resample
#
# Taking a head away needs no second prompt, only something to put in its place. Zeros? Its mean? What it said on another prompt
# (**resampling**)?

# %% exercise="mean_ablate"

# %%
reference, reference_groups = batch.abc_reference(16)
groups = batch.groups
ways = {
    mode: Ablation(
        real, clean, mode, reference=reference, groups=groups, reference_groups=reference_groups
    )
    for mode in ("zero", "mean", "resample")
}
first_layer = [(0, h) for h in range(0, real.cfg.n_heads, 2)]
looked_at = [*first_layer, *few]
cost = {
    way: {head: ablation.score([head], logit_diff) - high for head in looked_at}
    for way, ablation in ways.items()
}
plot_matrix(
    torch.tensor([list(row.values()) for row in cost.values()]).round(decimals=2),
    "One head taken away in three ways: some of the first layer, then the strongest",
    x_labels=[head_name(head) for head in looked_at],
    y_labels=list(cost),
    x_title="head",
    y_title="put in its place",
    unit="change of the logit difference",
    diverging=True,
)

# %%
yours = logit_diff(mean_ablate(real, clean, reference, [few[0]])).item() - high
print(
    f"your mean_ablate on {head_name(few[0])}: {yours:.2f}, the package: {cost['mean'][few[0]]:.2f}"
)
arbitrary = max(looked_at, key=lambda head: abs(cost["zero"][head]) - abs(cost["mean"][head]))
print(f"{head_name(arbitrary)}: zero {cost['zero'][arbitrary]:+.2f}, mean "
      f"{cost['mean'][arbitrary]:+.2f}, resampled {cost['resample'][arbitrary]:+.2f}")  # fmt: skip

# %% [markdown]
# *What to see:* heads of the first layer that seem important when zeroed and are not when their mean is kept. They
# say much the same on every prompt, and later layers expect it: zero is an input they have never had.
# The mean keeps what is constant. Resampling keeps the output one that really occurs, and scatters with the
# prompt it came from: repeat it with several seeds before you compare.

# %%
for head in few:
    i = chosen.index(head)
    print(f"{head_name(head)}: replaced by its mean {cost['mean'][head]:+.2f}, "
          f"by what it says after swap_s2 {-lost[i] * (high - low['swap_s2']):+.2f}")  # fmt: skip

# %% [markdown]
# *What to see:* "without this head" depends on what is there instead. Mean ablation asks what the answer owes to
# all that the head knows about these prompts. Noising asks what it owes to the one thing that
# the two prompts differ in. Where the two numbers differ in sign, both are right.
#
# ## 12. Self-repair
#
# Take away the head that adds most to the logit difference *directly*, and look at what the later parts do.
#
# The final residual stream is a sum, so the logit difference is one too: each head adds its write, divided by the
# final norm's scale, times (column of IO minus column of S) of $W_U$. We measure it in the clean run and
# in the ablated one.

# %%
chapter.predict("after_the_knock_out", choices=["by that amount", "by less", "by more"])


# %%
direction = (real.W_U[:, batch.io] - real.W_U[:, batch.s]).T
head_names = [utils.get_act_name("z", la) for la in range(n_layers)]
mlp_names = [utils.get_act_name("mlp_out", la) for la in range(n_layers)]


def direct_effects(hooks: list) -> tuple[float, Tensor, Tensor, Tensor]:
    """Logit difference, and what it owes directly to each head and each MLP; attention at END."""
    kept = {}

    def keep(x: Tensor, hook) -> None:
        kept[hook.name] = x[:, -1].clone()

    names = [*head_names, *mlp_names, "ln_final.hook_scale"]
    logits = real.run_with_hooks(clean, fwd_hooks=[*hooks, *((name, keep) for name in names)])
    scale = kept["ln_final.hook_scale"]
    toward = direction / scale
    heads = torch.stack([
        ((kept[name][:, :, None] @ real.W_O[la])[:, :, 0] * toward[:, None]).sum(-1).mean(0)
        for la, name in enumerate(head_names)
    ])  # fmt: skip
    mlps = torch.stack([(kept[name] * toward).sum(-1).mean() for name in mlp_names])
    return logit_diff(logits).item(), heads, mlps, scale.mean()


before = direct_effects([])
strongest = strongest_heads(before[1], 1)[0]
mean_of_it = ways["mean"].instead[strongest[0]][:, :, strongest[1]]


def knock_out(z: Tensor, hook) -> Tensor:
    z = z.clone()
    z[:, :, strongest[1]] = mean_of_it
    return z


after = direct_effects([(head_names[strongest[0]], knock_out)])
own = float(before[1][strongest] - after[1][strongest])
print(f"{head_name(strongest)} adds {before[1][strongest]:.2f} directly; replaced by its mean, "
      f"{after[1][strongest]:.2f}")  # fmt: skip
print(f"logit difference {before[0]:.2f} -> {after[0]:.2f}: it fell by {before[0] - after[0]:.2f}")

# %%
change = after[1] - before[1]
change[strongest] = 0.0
reacting = strongest_heads(change.abs(), 5)
parts = {head_name(head): change[head].item() for head in reacting}
parts["other heads"] = change.sum().item() - sum(parts.values())
parts["MLPs"] = (after[2] - before[2]).sum().item()
plot_bars(
    parts,
    f"What the rest does when {head_name(strongest)} is knocked out",
    y_title="change of direct effect, logits",
    x_title="part",
)

# %%
helping = sum(value for value in parts.values() if value > 0)
against = sum(value for value in parts.values() if value < 0)
print(f"taken away {own:.2f}; others give back {helping:.2f} and take {-against:.2f} more; "
      f"net {100 * (helping + against) / own:.0f} % repaired")  # fmt: skip

# %% [markdown]
# *What to see:* later parts are not indifferent. Those with a plus bar make up for the loss, those with a minus bar
# make it worse; what counts is the sum. A positive bar may belong to a *negative* head: one that writes
# against whatever name is in the lead has less to write against when the lead is gone. McDougall et al. (2023, arXiv
# 2310.04625) call this copy suppression, and find that it explains part of GPT-2 small's self-repair; Rushing and
# Nanda (2024, arXiv 2402.15390) find that self-repair is imperfect and noisy.
#
# So the effect of knocking a head out is not what the head adds. It is that, minus what others make up. A head that can be
# replaced looks unimportant, and so does each of its replacements.

# %%
chapter.explain("which_experiment")

# %% [markdown]
# ## 13. Look around
#
# Every sweep of this chapter, by button: corruption, component, direction. A sweep runs when it is asked for the
# first time; the ones by head take some seconds. By keyboard: Tab moves on, Enter presses.

# %%
pair = slice(0, 2)  # one mirrored pair, so that nobody waits long
choices = {"swap_s2": s2[pair], "new_s2": corrupted["new_s2"][pair]}
asked = LogitDifference(batch.io[pair], batch.s[pair])
PatchingExplorer(
    gap_sweep(real, clean[pair], choices, asked),
    list(choices),
    words=real_words,
    start={"corruption": "new_s2", "component": "resid_pre"},
)

# %%
chapter.progress()

# %% [markdown]
# ## What you measured, what the literature says, where to go on
#
# You followed one piece of information through two models: by layer and position, by head, by part of a head, by path.
# And each choice turned out to be part of the question:
#
# | choice | what it cannot see |
# |---|---|
# | denoising | one input of an AND |
# | noising | one input of an OR, heads with backups |
# | corruption | heads that say the same on both prompts |
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
# - Syed et al. 2023 (arXiv 2310.10348) and Kramar et al. 2024 (arXiv 2403.00745): estimates, and mending them.
# - Miller et al. 2024 (arXiv 2407.08734): a circuit's faithfulness swings with such choices.
#
# **08 Logit lens** asks what the model would say at each layer, without intervening. **10 Mystery circuits** hands you
# sealed models, and grades your claim by patching.
