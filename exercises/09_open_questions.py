# %% [markdown]
# # 09 Open questions
#
# **You will be able to** turn three questions that nobody has settled into experiments: write the
# prediction down first, measure over several seeds, put error bars on the answer, and say what the
# result does not show.
#
# **Time** 120 minutes. **You need** chapters 03, 04 and 07; chapters 05 and 06 help. **Models**
# 91 small ones that ship with the course, and SmolLM2 (chapter 00 says which).
#
# So far there was an answer to find. Now there may not be. *Are circuits the same in every model? Does a
# head have one job? Are many small heads better than one large one?* Each has papers on both sides. You
# will not settle them here either, but you will see what one honest evening of measuring can say.

# %%
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model, show_table, verdict
from circuits_course.circuits import Place, head_name, interval, shipped_family, strongest_heads
from circuits_course.data import repeats_for
from circuits_course.plots import draw, plot_bars, plot_lines, plot_matrix, plot_scatter

torch.set_grad_enabled(False)
chapter = Chapter("09_open_questions")
model = load_model("auto")

# %% [markdown]
# ## Before you start
#
# Three questions from earlier chapters. If one of them is new to you, its feedback will do.

# %%
chapter.quiz("what_induction_looks_at")

# %%
chapter.quiz("mean_or_zero")

# %%
chapter.quiz("score_and_effect")

# %%
chapter.review()

# %% [markdown]
# # A. Are circuits the same in every model?
#
# **Universality** is the hope that models trained apart learn the same circuits, so that what you find in
# one holds in the next. "The same" can mean three things: the same *algorithm*, the same *heads*, or
# the same *order of appearance* in training. They are three claims, and need three measurements.
#
# ## 1. One ruler for all models
#
# To compare models we need the same detectors on all of them. A **behaviour** is a rule that says, for
# every query, which keys a head showing it would look at. Three of them from chapters 03 and 04:
#
# | behaviour | keys looked at |
# |---|---|
# | previous token | the one before the query |
# | duplicate token | earlier ones that hold the query's token |
# | induction | those whose previous token is the query's token |
#
# Written as a table of True and False, a **mask** [batch, q, k], a behaviour can be asked of any tokens,
# repeated or not: that is what part B will need.

# %% exercise="behaviour_masks"

# %%
small = load_model("induction-2l")
example = small.to_tokens("abcab")
masks = behaviour_masks(example)
symbols = small.to_str_tokens(example[0])
together = sum((i + 1) * mask[0].int() for i, mask in enumerate(masks.values()))
plot_matrix(together, "1 previous token, 2 duplicate token, 3 induction", x=("key", symbols),
            y=("query", symbols))

# %% [markdown]
# *What to see:* the diagonal of 1s is what a previous-token head looks at. Below it each repeated
# token has a 2 at its earlier copy, and a 3 one place further on.
#
# TransformerLens has the same three rules for its `detect_head`, which scores one sequence at a time.
# They agree with yours but for one cell, the second token's view of BOS: where a head looks that has
# nothing to look at is no behaviour, so we leave it out.

# %% tags=["nbval-check-output"]
from transformer_lens import head_detector as theirs

for behaviour, mask in masks.items():
    name = behaviour.replace(" ", "_").removesuffix("_token")
    name = {"previous": "previous_token", "duplicate": "duplicate_token"}.get(name, name)
    other = getattr(theirs, f"get_{name}_head_detection_pattern")(example).bool().cpu()
    where = (other != mask[0].cpu()).nonzero().tolist()
    verdict(f"{behaviour}: the same but for BOS", where in ([], [[1, 0]]), f"differs at {where}")

# %% [markdown]
# ## 2. The profile of a model
#
# A head's score for a behaviour: how much attention a query gives to all marked keys together, averaged
# over the queries that have any,
#
# $$s = \operatorname{mean}_{(b, q)\ \text{asked}} \sum_{k} A_{b, q, k}\, M_{b, q, k}$$
#
# with attention $A$ and mask $M$. Averaging over *all* queries would punish a head for having had
# nothing to do.

# %% exercise="head_profile"

# %% [markdown]
# The models: `induction-2l`, five more that were trained alike but for the seed (one of the families of
# part C), and the real model. Each gets random tokens of its own vocabulary, shown twice.

# %%
chapter.predict("where_induction_sits",
                choices=["in the first third", "in the middle third", "in the last third"])

# %%
chapter.predict(
    "same_seeds",
    choices=[
        "the layer and the number of the induction head",
        "the layer of the induction head, not its number",
        "neither",
    ],
)

# %%
from circuits_course.models import choose_model

real = choose_model()  # the name behind "auto"
siblings = {f"seed {t.seed}": t for t in shipped_family("induction", counts=[4])}
models = {"induction-2l": small, **{name: t.model for name, t in siblings.items()}, real: model}
profiles = {name: head_profile(m, repeats_for(m)) for name, m in models.items()}
rows = {}
for name, profile in profiles.items():
    best = {b: strongest_heads(scores, 1)[0] for b, scores in profile.items()}
    rows[name] = {b: f"{head_name(h)} ({profile[b][h]:.2f})" for b, h in best.items()}
show_table(rows, caption="The strongest head of each behaviour, and its score")

# %% tags=["nbval-check-output"]
found = [strongest_heads(profiles[name]["induction"], 1)[0] for name in siblings]
verdict("five seeds keep their induction head in one layer, and not under one number",
        len({layer for layer, _ in found}) == 1 and len({head for _, head in found}) > 1,
        ", ".join(map(head_name, found)))

# %%
chapter.reveal("same_seeds")

# %% [markdown]
# ## 3. Where, as a share of depth
#
# Models differ in their number of layers, so we compare **relative depth**: layer $/\,(n_{layers} - 1)$,
# 0 for the first layer, 1 for the last. Where no head shows a behaviour there is no depth to compare: of
# a hundred heads that all score next to nothing, one is always the strongest.

# %% exercise="compare_profiles"

# %%
places = compare_profiles(profiles, at_least=0.3)
show_table({n: {b: found[n].depth if n in found else None for b, found in places.items()}
            for n in profiles},
           caption="Relative depth of the strongest head, where any scores .3", digits=2)

# %% [markdown]
# The small models have no duplicate-token head at all; their best scores lie between .06 and .16. SmolLM2
# (135M-Instruct, its weights kept in four bits, prompted after its own BOS) keeps its strongest induction head, 18.6, at .62: in the
# *middle* third. GPT-2 small's are in layers 5 to 7 of 12, .45 to .64.

# %%
chapter.reveal("where_induction_sits", model=model)

# %%
points = [(layer / max(len(scores) - 1, 1), scores[layer, head].item(), f"{name} {layer}.{head}",
           behaviour) for name, profile in profiles.items() if name not in siblings
          for behaviour, scores in profile.items() if behaviour != "duplicate token"
          for layer, head in (scores > 0.3).nonzero().tolist()]
depth, score, names, kinds = map(list, zip(*points, strict=True))
plot_scatter(("relative depth", depth), ("score", score), "Every head with a score above .3",
             labels=names, groups=kinds)

# %% [markdown]
# *What to see:* induction reads what previous-token heads wrote, so some of the latter must stand to the
# left of the former. In SmolLM2 1.2, 2.1, 11.1 and 16.0 do, the four strongest. High previous-token scores to the *right* of the
# strongest induction heads belong to something else: they cannot feed them.
#
# The classes of the circuit for indirect object identification (chapter 06) have an order as well: each reads what the
# one before wrote.

# %%
from circuits_course.circuits import known_circuits

order = ("previous token", "induction", "S-inhibition", "name mover")
depths = {name: {r: [layer / (n_layers - 1) for layer, _ in classes.get(r, [])] for r in order}
          for name, (n_layers, classes) in known_circuits().items()}
cells = {name: {r: f"{sum(d) / len(d):.2f} ({min(d):.2f} to {max(d):.2f})" if d else "none"
                for r, d in row.items()} for name, row in depths.items()}
show_table(cells, caption="Relative depth of a class: mean (lowest to highest)")
means = {name: [sum(d) / len(d) for d in row.values() if d] for name, row in depths.items()}
for name, found in means.items():
    print(f"{name}: classes in the order of the algorithm: {found == sorted(found)}")

# %% [markdown]
# GPT-2 small's classes are the published ones (Wang et al. 2022, figure 2), SmolLM2's were measured for this course
# (chapter 06). Both stand in order. Four classes do so by chance once in 24 times, and the previous-token class of
# SmolLM2 is a single head: two rows agree with the algorithm, and prove nothing.
#
# ## 4. The same algorithm? Ask by intervention
#
# Two heads with the right scores need not be one circuit. Induction as we know it (chapter 05) *depends*
# on a previous-token head. So take the strongest previous-token heads away, by their mean, and see
# whether the induction head still finds its place; against other heads of the same layers. In a layer
# of four heads there are three others, and we try each; for three heads of SmolLM2 there are hundreds of sets, and
# we try 23. (`mean_ablated??` shows how heads are taken away, `control_sets??` how controls are drawn.)

# %%
both, names = (small, model), ("induction-2l", real)
jobs = {b: [strongest_heads(profiles[n][b], 1)[0] for n in names] for b in ("previous token", "induction")}
draw("two_models", layers=[m.cfg.n_layers for m in both], previous=jobs["previous token"],
     induction=jobs["induction"], names=names)

# %% [markdown]
# *What to see:* the strongest head for each of two jobs, drawn at its depth. Scores found the circles. The arrows
# are a claim: the one job needs the other.

# %%
from circuits_course.circuits import beats, control_sets, mean_ablated


def induction_without(one, count: int) -> list[float]:
    """Score of the strongest induction head: whole, without `count` previous-token heads, controls."""
    tokens = repeats_for(one)
    scores = head_profile(one, tokens)
    head = strongest_heads(scores["induction"], 1)[0]
    below = [h for h in strongest_heads(scores["previous token"], 12) if h[0] < head[0]][:count]
    results = []
    for gone in [[], below, *(control_sets(below, one.cfg.n_heads, fewest=1) if below else [])]:
        with mean_ablated(one, gone):
            results.append(head_profile(one, tokens)["induction"][head].item())
    return results


# %%
dependence = {n: induction_without(m, 3 if m.cfg.n_layers > 12 else 1) for n, m in models.items()}
lost = {name: {"whole": whole, "without previous-token heads": cut,
               "lowest without others": min(others, default=None),
               "costs more than": str(beats(-cut, [-other for other in others]))}
        for name, (whole, cut, *others) in dependence.items()}
show_table(lost, caption="Score of the strongest induction head", digits=2)

# %% tags=["nbval-check-output"]
cut = [lost[name]["without previous-token heads"] / lost[name]["whole"] for name in models]
verdict("without its previous-token head each small model loses all of its induction score",
        max(cut[:-1]) < 0.05, f"at most {max(cut[:-1]):.0%} is left")
verdict("without three of its own SmolLM2's 18.6 loses more than half, more than in any control",
        cut[-1] < 0.5 and len(set(lost[real]["costs more than"].split()[2::2])) == 1,
        f"{cut[-1]:.0%} is left, {lost[real]['costs more than']}", model=model)

# %% [markdown]
# The algorithm is shared as far as this goes: in every model that we cut, induction needs previous-token heads.
#
# But look at the third column of the small models. Those heads were meant as controls, and in most seeds one of them hurts
# as well. A control that hurts is a finding: that head does something for which our three behaviours have no
# name.
#
# ### What the control found
#
# Where do the other heads of layer 0 look, if not one back? Ask how much a token looks at *itself*. Then take the
# head that does it most out of the induction head's **queries** alone, or out of its **keys** alone
# (chapter 05 split them like this; `input_cut??` shows how).


# %%
from circuits_course.circuits import head_scores, input_cut


def looks_at_itself(pattern: Float[Tensor, "batch head q k"]) -> Float[Tensor, "batch head"]:
    return pattern.diagonal(0, -2, -1)[..., 1:].mean(-1)


# %%
rows = {}
for name in ["induction-2l", *siblings]:
    one, tokens = models[name], repeats_for(models[name])
    itself = head_scores(one, tokens, looks_at_itself)[0]
    head = int(itself.argmax())
    rows[name] = {"head": f"0.{head}", "at itself": itself[head].item(),
                  "whole": dependence[name][0]}
    for letter, reads in (("q", "queries"), ("k", "keys")):
        with input_cut(one, tokens, head, letter):
            scores = head_profile(one, tokens)["induction"][1]
        rows[name][f"cut from {reads}"] = scores.max().item()
show_table(rows, caption="The head of layer 0 that looks most at the current token", digits=2)

# %% tags=["nbval-check-output"]
needs = [row["cut from queries"] < row["whole"] / 2 for row in rows.values()][1:]
spared = [row["cut from keys"] > 0.8 * row["whole"] for row in rows.values()][1:]
verdict(
    "in most seeds induction needs a head that looks at the current token, in its queries only",
    sum(needs) >= 3 and all(spared),
    f"queries: halved in {sum(needs)} of 5; keys: spared in {sum(spared)} of 5",
)

# %% [markdown]
# In four of the five seeds a head of layer 0 looks at the current token almost only, and the induction head's queries
# need it while its keys do not. It may write the current token a second time, for the query to ask with; what it
# writes was not measured here. `induction-2l`, trained longer and on more symbols, has no such head, and its
# induction works without.
#
# Is that what models of this kind do? Part C has families with other numbers of heads:

# %%
table = []
for count in (1, 2, 4, 8):
    left = []
    for trained in shipped_family("induction", counts=[count]):
        tokens = repeats_for(trained.model)
        whole = head_profile(trained.model, tokens)["induction"].max()
        itself = head_scores(trained.model, tokens, looks_at_itself)[0]
        with input_cut(trained.model, tokens, int(itself.argmax()), "q"):
            cut = head_profile(trained.model, tokens)["induction"].max()
        if whole > 0.5:  # it has learned induction
            left.append((cut / whole).item())
    table.append((count, len(left), str(interval(left))))
show_table(table, ["heads", "seeds that learned induction", "score left without it in the queries"])

# %% [markdown]
# *What to see:* models of one or two heads learn induction and have no such part; with four heads half of the score
# is lost without it, with eight a quarter. A third part that comes and goes with the seed and the width is no part of
# "the" algorithm.
#
# ## 5. The same order of appearance? Error bars first
#
# Five seeds give five numbers, and a mean without an error is half a result. The
# **standard error** of the mean of $n$ runs is
#
# $$\mathrm{SE} = \frac{1}{\sqrt n} \sqrt{\frac{1}{n-1} \sum_i (x_i - \bar x)^2}$$
#
# It says how far the mean of *these* runs may be off. With five runs it is itself rough: two means
# whose errors overlap have not been told apart. Where a section below shows one model or one sample, it says so.

# %% exercise="mean_and_error"

# %%
from circuits_course.circuits import EVERY


def band(curves: list[list[float]]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Mean of several curves, and the band of one standard error around it."""
    pairs = [mean_and_error(list(values)) for values in zip(*curves, strict=True)]
    mean, error = torch.tensor(pairs).T
    return mean, (mean - error, mean + error)


kinds = ("previous token", "induction")
lines = {kind: band([t.births[kind] for t in siblings.values()]) for kind in kinds}
plot_lines({kind: mean for kind, (mean, _) in lines.items()},
           "Strongest head during training, five seeds",
           x=("training step", EVERY * torch.arange(len(lines["induction"][0]))), y="score",
           bands={kind: edges for kind, (_, edges) in lines.items()})

# %% [markdown]
# *What to see:* the previous-token line begins to rise first. Then the induction line overtakes it: at step 230 it is
# at .88, and the heads that it reads are at .69. The scores are those of section 2, on the same tokens, so that each
# line ends at the mean of the table there.


# %% tags=["nbval-check-output"]
def first_over(curve: list[float], level: float) -> int:
    return EVERY * next(i for i, score in enumerate(curve) if score > level)


ahead = {level: [first_over(t.births["induction"], level) - first_over(t.births["previous token"], level)
                 for t in siblings.values()] for level in (0.2, 0.3, 0.4, 0.5, 0.6)}
show_table([{"both pass": level, "previous-token head ahead by, steps": str(interval(steps)),
             "first in": sum(step > 0 for step in steps), "last in": sum(step < 0 for step in steps)}
            for level, steps in ahead.items()], caption="Which comes first, in five seeds")
verdict("the previous-token head begins to rise first in every seed", min(ahead[0.2]) > 0)
verdict("and at .5 it is first in none", max(ahead[0.5]) <= 0)

# %% [markdown]
# *What to see:* the answer turns round with the level that counts as "there". At .2 and .3 the previous-token head is first in every
# seed, at .5 in none: it begins to rise long before, and induction overtakes it. A table with one level would have said either. What
# the five runs share is the order of *beginning*.

# %%
chapter.explain("what_is_universal")

# %% [markdown]
# # B. Does a head have one job?
#
# Models seem to store more features than they have dimensions (**superposition**). Heads may do
# likewise: more jobs than heads. Janiak et al. (2023) describe a head that does induction, fuzzy
# previous-token and indentation, by context. In part A every head had *one* context, random tokens
# shown twice; now we change it.

# %%
draw("one_head_two_jobs")

# %% [markdown]
# *What to see:* what it would mean. One head, and what it looks at changes with the text: whoever saw only one
# half would give it the wrong name.
#
# ## 6. One head, several contexts
#
# For a head and a context we want two things: what it looks at, and what is lost without it. The loss
# without it varies from one sequence to the next, so we keep one number for each, and put an interval on their
# mean.

# %%
chapter.predict("jobs_by_context", choices=["the same", "clearly lower", "clearly higher"])

# %% exercise="head_jobs"

# %%
from circuits_course.data import ioi_batch, passage, text_tokens

texts = {"random, twice": repeats_for(model, batch=8, seed=1),
         "English": text_tokens(model, passage("alice"), 8, 41),
         "names (IOI)": ioi_batch(model, 8, seed=0).tokens}
chosen = [strongest_heads(scores, 1)[0] for scores in profiles[real].values()]
jobs = head_jobs(model, chosen, texts)
rows = [{"head": head_name(head), "context": context, **found,
         "cost": str(interval(found["cost"]))} for head in chosen for context, row in jobs.items()
        for found in [row[head]]]
show_table(rows, caption="Scores, and nats lost per token without the head (8 sequences each)",
           digits=2)

# %%
plot_matrix({head: [row[head]["cost"].mean().item() for row in jobs.values()] for head in chosen},
            "What is lost without the head", x=("context", texts), y="head",
            unit="nats per token", diverging=True)

# %% tags=["nbval-check-output"]
BEHAVIOURS = list(masks)
tops = [{max(BEHAVIOURS, key=lambda b: row[head].get(b, 0)) for row in jobs.values()}
        for head in chosen]
verdict("each of the three heads has the same strongest behaviour in all three contexts",
        all(len(top) == 1 for top in tops),
        "; ".join(f"{head_name(h)}: {', '.join(sorted(top))}" for h, top in zip(chosen, tops)),
        model=model)

# %% tags=["nbval-check-output"]
first = [row[chosen[0]]["cost"] for row in jobs.values()]
verdict("16.0 costs much on repeated tokens and nothing that we can see on English",
        interval(first[0]).low > 0.2 and interval(first[1]).high < 0.1,
        f"{interval(first[0])} against {interval(first[1])} nats", model=model)

# %% [markdown]
# From random tokens to English the score of 16.0 falls from .88 to .76. The induction head is the one that falls,
# from .81 to .13. A likely reason: in English a word that comes again (*the*) seldom announces what followed it last
# time.

# %%
chapter.reveal("jobs_by_context", model=model)

# %% [markdown]
# The costs tell another story. An interval that contains 0 says that these eight sequences cannot tell the cost from
# none; by how many times one such number exceeds another is then a ratio of noise. What the table does say: 16.0 looks at
# the same place in every context, and costs 2.0 nats on repeats, .04 on names, and nothing that shows on English. "A previous-token head" is
# what it does; what it is *for* depends on who reads it.
#
# ### How much do our names explain?
#
# Three behaviours are three names. On English, how much of the attention that does not rest on BOS do
# they cover?

# %%
english = texts["English"]
marked = torch.stack(list(behaviour_masks(english).values())).any(0)
covered, away = [], []


def take_stock(pattern: Float[Tensor, "batch head q k"], hook):
    covered.append((pattern * marked[:, None]).sum((1, 2, 3)))
    away.append(pattern[..., 1:].sum((1, 2, 3)))


names = [utils.get_act_name("pattern", layer) for layer in range(model.cfg.n_layers)]
model.run_with_hooks(english, return_type=None, fwd_hooks=[(name, take_stock) for name in names])
on, off = torch.stack(covered).sum(0), torch.stack(away).sum(0)  # [sequence]
resting = 1 - off / (english.shape[1] * model.cfg.n_layers * model.cfg.n_heads)
seen = torch.arange(english.shape[1])  # how many keys besides BOS each query may see
even = (marked.sum(-1) / (seen + 1)).sum(-1) / (seen / (seen + 1)).sum()
stock = {"rests on BOS": resting, "of the rest, on marked keys": on / off, "if it were spread evenly": even}
show_table({what: str(interval(share)) for what, share in stock.items()}, columns=["", "share"])

# %% [markdown]
# Four fifths of what does not rest have no name in this chapter; the three names cover about twice what they would if
# all heads spread their attention evenly. A head that keeps to one of *our* behaviours may still have other jobs: a
# detector finds what it was made for. Sparse autoencoders on attention outputs, which need no names beforehand, find
# several tasks in at least 90 % of GPT-2 small's heads, by their authors' estimate (Kissane et al. 2024, arXiv
# 2406.17759).
#
# ## 7. More jobs than heads, made on purpose
#
# In a real model we do not know the jobs. So we train models on tasks whose jobs are known, and give them
# too few heads, or heads to spare. Two tasks, one layer each:
#
# - **All at once**: the next symbol is the one of 1, 2, 3 or 4 positions ago, each recoded by a code of its
#   own, and nobody says which. To give every candidate its chance a model has to look at all
#   four places at the *same* position: four jobs.
# - **Look-ups**: eight symbols, then commands. Command $j$ asks for symbol $j$: eight jobs, asked *one at
#   a time*.
#
# A job's own loss and an ablation tell who does it: replace one head's $z$ by its mean and see which jobs
# get worse.

# %% exercise="ablation_costs"

# %%
chapter.predict(
    "two_heads_four_jobs",
    choices=[
        "each head takes two jobs",
        "each head takes one job, two jobs are given up",
        "both heads do a bit of every job",
    ],
)

# %% [markdown]
# One model of each kind first, seed 0, to see what is counted; the next section counts all five seeds.

# %%
from circuits_course.circuits import TASKS, held_out

at_once = TASKS["all at once"]
tokens = held_out(at_once)
few, many = shipped_family("all at once", counts=[2, 8], seeds=[0])
backs = [f"{back} back" for back in at_once.backs]
rows = {f"{t.n_heads} heads": at_once.loss(t.model, tokens).tolist() for t in (few, many)}
show_table(rows, ["", *backs], caption=f"Loss by job, nats (guessing {at_once.worst:.2f})",
           digits=2)
plot_matrix(ablation_costs(few.model, tokens, at_once.loss)[:, 0], "All at once, two heads",
            x=("head taken away", ["head 0", "head 1"]), y=("job", backs), unit="nats",
            diverging=True)

# %%
plot_matrix(ablation_costs(many.model, tokens, at_once.loss)[:, 0], "All at once, eight heads",
            x=("head taken away", [f"head {h}" for h in range(8)]), y=("job", backs), unit="nats",
            diverging=True)

# %% [markdown]
# *What to see:* a column is a head, a row a job, and red is what the job loses without the head. Two heads take two
# jobs each; no job is given up, and no head does all of them. Of eight heads one is idle
# (its column is 0), and each job is carried by two others, of which one takes part in two. Blue is a job that
# goes *better*: all four jobs bid for the same prediction, so one that falls silent leaves more to the
# others.

# %%
chapter.reveal("two_heads_four_jobs")

# %% [markdown]
# ## 8. How many jobs does a head carry?
#
# Counting cells by eye does not scale to 50 models. The **effective number** of a head's jobs weighs them:
#
# $$n_h = \frac{\left(\sum_j c_{jh}\right)^2}{\sum_j c_{jh}^2}$$
#
# for its costs $c_{jh} \ge 0$. (The same formula is known as participation ratio.)

# %% exercise="effective_number"

# %%
chapter.predict(
    "spare_heads",
    choices=[
        "one head for each job",
        "a few heads for all jobs, the others idle",
        "every head does every job",
    ],
)

# %% [markdown]
# A seed in which no head carries anything has not learned the task. It has no number of jobs, so it is left out of that
# mean (as 0 it would drag the mean down and widen its error), and the table says how many seeds remain.


# %%
def shares(task: str, n_heads: int) -> dict[str, list[float]]:
    """Over seeds: loss; and where a job loses over .1 nats: heads in use, and the jobs of each."""
    rows: dict[str, list[float]] = {"loss, nats": [], "heads in use": [], "jobs of each": []}
    held = held_out(TASKS[task])
    for trained in shipped_family(task, counts=[n_heads]):
        costs = ablation_costs(trained.model, held, TASKS[task].loss)[:, 0]
        used = costs.amax(0) > 0.1
        rows["loss, nats"].append(TASKS[task].loss(trained.model, held).mean().item())
        if used.any():
            rows["heads in use"].append(int(used.sum()))
            rows["jobs of each"].append(effective_number(costs)[used].mean().item())
    return rows


# %%
from circuits_course.circuits import COUNTS

measured = {(task, n): shares(task, n) for task in ("all at once", "look-ups") for n in COUNTS}
table = [
    {"task": task, "heads": n, "seeds that learned": len(rows["jobs of each"])}
    | {what: "{:.2f} ± {:.2f}".format(*mean_and_error(values)) for what, values in rows.items()}
    for (task, n), rows in measured.items()
]
show_table(table, caption="Mean ± standard error: loss over five seeds, the rest over those that learned")

# %%
jobs_of_each = {f"{task}, {n}": mean_and_error(rows["jobs of each"])
                for (task, n), rows in measured.items()}
plot_bars({name: mean for name, (mean, _) in jobs_of_each.items()},
          "Jobs carried by a head in use, by task and number of heads",
          y="effective number of jobs",
          errors={name: error for name, (_, error) in jobs_of_each.items()})

# %% tags=["nbval-check-output"]
alone, shared = (interval(measured[t, 8]["jobs of each"]) for t in ("all at once", "look-ups"))
verdict(
    "with eight heads, a head in use does one of the jobs asked at once, or all asked one at a time",
    alone.high < 1.5 and shared.low > 6,
    f"{alone} jobs a head against {shared}",
)

# %% [markdown]
# *What to see:* of eight heads seven share four jobs, one job a head and about two heads a job; or one does eight
# jobs, and seven are idle.

# %%
chapter.reveal("spare_heads")

# %%
chapter.explain("when_heads_share")

# %% [markdown]
# # C. One large head or many small ones?
#
# A layer of $h$ heads of dimension $d_{model}/h$ has the same number of parameters whatever $h$. What does
# the number buy? Every family member below has the same size, data, optimiser and number of steps (four
# times as many where it says "longer").

# %%
draw("large_or_small_heads", counts=[1, 8, 32])

# %% [markdown]
# *What to see:* three bars of one length, so of equal cost. A head has one pattern at a time: the lowest bar
# can look at 32 sets of places at once, the uppermost at one.

# %% tags=["nbval-check-output"]
induction = {n: shipped_family("induction", counts=[n]) for n in COUNTS}
sizes = {n: sum(w.numel() for w in family[0].model.parameters()) for n, family in induction.items()}
verdict("all of them have the same number of parameters", len(set(sizes.values())) == 1,
        f"{sizes[1]}")

# %%
chapter.predict(
    "which_family",
    choices=[
        "one head of 64 dimensions",
        "8 heads of 8 dimensions",
        "32 heads of 2 dimensions",
    ],
)

# %% [markdown]
# ## 9. Loss, and when it falls

# %%
curves = {n: band([t.history for t in family]) for n, family in induction.items()}
plot_lines({f"{n} x {64 // n}": mean for n, (mean, _) in curves.items()},
           "Induction: loss on second copies, five seeds; heads x dimension",
           x=("training step", EVERY * torch.arange(len(curves[1][0]))), y="nats",
           bands={f"{n} x {64 // n}": edges for n, (_, edges) in curves.items()})

# %%
from circuits_course.circuits import SHIPPED

rows = []
for task, n in [(task, n) for task, counts in SHIPPED.items() for n in counts]:
    family = shipped_family(task, counts=[n])
    reached = [t.half_way for t in family if t.half_way is not None]
    rows.append({
        "task": task, "heads": n,
        "final loss": "{:.3f} ± {:.3f}".format(*mean_and_error([t.history[-1] for t in family])),
        "best possible": TASKS[task].best, "half-way in": f"{len(reached)} of {len(family)}",
        "at step": round(sum(reached) / len(reached)) if reached else None,
    })
show_table(rows, caption="Final loss (mean ± standard error), and when half of the way was gone")

# %% tags=["nbval-check-output"]
late = interval(t.history[-1] for t in shipped_family("induction, longer", counts=[32]))
four = interval(t.history[-1] for t in shipped_family("induction, longer", counts=[4]))
verdict("32 heads of 2 dimensions have not learned induction after 2,000 steps; 4 of 16 have",
        late.low > 10 * four.high, f"{late} nats left against {four}")

# %% [markdown]
# *What to see:* the rows of 32 heads. Bhojanapalli et al. (2020) prove that a head whose dimension
# is below the sequence length cannot express every attention pattern, and a head of 2 dimensions has to
# pick one of some thirty positions. So: can it not, or does it learn late? After 500 steps these models are nowhere. After 2,000
# they have passed *half-way*, long after the others, and have not arrived: half a nat is left where four heads leave almost nothing. That is
# late half-way, not late success; whether they ever arrive, four times as many steps do not say.

# %%
chapter.reveal("which_family")

# %% [markdown]
# Two cautions. A seed may fail where its sisters learn: two heads on induction have one such seed in five, and most of the
# mean loss is that seed's. And a threshold can mislead: at "all at once" two heads end within a hair of half-way, so
# their step is the threshold's doing.
#
# ### One run of your own
#
# The shipped runs took minutes; one takes seconds. This seed is not among them.

# %%
from circuits_course.circuits import train_head_family

with torch.enable_grad():
    own = next(iter(train_head_family("all at once", counts=[2], seeds=[5])))
ends = [t.history[-1] for t in shipped_family("all at once", counts=[2])]
show_table({"your run": own.history[-1], "the five that ship": str(interval(ends))}, ["", "nats"])

# %% [markdown]
# ## 10. Do heads of one layer do the same?
#
# If many heads look at the same keys, some of them are spare. Similarity here is the cosine between two
# heads' patterns on the same sequence.

# %% exercise="head_similarity"

# %%
similar = {}
for n in COUNTS[1:]:
    for layer in range(2):
        values = []
        for trained in induction[n]:
            _, cache = trained.model.run_with_cache(held_out(TASKS["induction"]))
            values.append(head_similarity(cache["pattern", layer]))
        similar[f"layer {layer}, {n} heads"] = mean_and_error(values)
plot_bars({name: mean for name, (mean, _) in similar.items()},
          "Induction: mean similarity between heads of a layer", y="cosine",
          errors={name: error for name, (_, error) in similar.items()})

# %% [markdown]
# *What to see:* 1 would be the same pattern in every head. Heads that rest on BOS alike also count as
# similar: this number cannot tell "does the same" from "does nothing".
#
# ## 11. How many heads can go?
#
# Michel et al. (2019) took heads out of trained models, least important first, and found that many
# layers run on a single head. The same here: remove heads one after another, in the order of their costs,
# until the loss has risen by more than is allowed.

# %% exercise="removable_heads"

# %%
spare = {}
for task, n in [(t, n) for t in ("induction", "look-ups", "all at once") for n in COUNTS[1:]]:
    held, loss, values = held_out(TASKS[task], batch=32), TASKS[task].loss, []
    for trained in shipped_family(task, counts=[n]):
        learned = TASKS[task].worst - loss(trained.model, held).mean().item()
        gone = removable_heads(trained.model, held, loss, allowed=0.1 * learned)
        values.append(len(gone) / (n * trained.model.cfg.n_layers))
    spare[f"{task}, {n}"] = mean_and_error(values)
plot_bars({name: mean for name, (mean, _) in spare.items()},
          "Share of heads that can go while nine tenths of what was learned stays",
          y="share of heads", errors={name: error for name, (_, error) in spare.items()})

# %% [markdown]
# *What to see:* the bars of one task from left to right. Where jobs can share a head (look-ups), nearly all heads can
# go. Where they cannot (all at once), few can, even with more heads than jobs: the picture of eight heads above shows
# jobs that two heads carry together. (Induction with 32 heads breaks the row: those models have not learned it,
# section 9.) In translation models Voita et al. (2019) found the first kind: a few specialised heads do the heavy
# lifting, and the rest can be pruned.

# %%
chapter.explain("what_pruning_shows")

# %%
chapter.progress()

# %% [markdown]
# ## What was measured
#
# **Universality.** Induction falls without previous-token heads in every model that section 4 cut, and in all five
# seeds the previous-token head begins to rise first in training, and is overtaken. The numbers of the heads change
# with the seed, their depth with the model, and four of five seeds grew a third part that `induction-2l` does
# without. That fits the literature: the algorithm is stable over training and scale while the heads are not (Tigges
# et al. 2024, on Pythia), and evidence for full universality is mixed (Chughtai et al. 2023). *What this does not
# show:* the small models share data and architecture, and one real model is no sample.
#
# **One head, several jobs.** Three heads of SmolLM2 kept their behaviour when
# the context changed, and not their worth: two different questions. On tasks with known jobs, two heads with four
# jobs took two each, eight heads took about one each, and eight jobs asked one at a time nearly always
# went to one head, with seven to spare. So having more jobs than heads is not what decides; here it was
# whether jobs are asked *at the same time*. *What this does not show:* how a model of many layers does
# it, where a job can move to another layer.
#
# **Few or many heads.** At equal parameters the best number depended on the task: one head did not learn
# what needs several patterns at once, and 32 heads of dimension 2 had not learned induction after four times the steps. That heads can be
# removed afterwards (Michel et al. 2019) and that a few specialised ones carry the work (Voita et al.
# 2019) both show here, on tasks small enough to see why. *What this does not show:* every family was
# trained by one recipe, and another learning rate may favour another number.
#
# ## How sure is this?
#
# Each sentence below was tested once more, on other sequences, seeds or families than those above.

# %%
chapter.how_sure()

# %% [markdown]
# ## The same on GPT-2 small
#
# Start the notebook with `CIRCUITS_COURSE_MODEL=gpt2-small` (a network is needed once) and part A measures the literature's model:
# its strongest induction heads are 5.5, 6.9, 7.10, 5.1 and 7.2, and 4.11 the previous-token head that feeds them. Sentences about
# SmolLM2's heads then say that they were measured elsewhere. Nothing in this chapter needs it.
#
# ## Where to go on
#
# - Take a one-head model of `shipped_family("look-ups")`: where does the head look after each command?
#   Is it the query that chooses?
# - Six jobs: put `AllAtOnce(backs=(1, 2, 3, 4, 5, 6))` into `circuits_course.circuits.TASKS` and train two,
#   three and six heads. Does three heads give 2.0 jobs each?
# - Run part A with any model that you care about.
# - Chapter 10 hands you sealed models. What you claim about them will be tested by intervention.
#
# Papers: Bhojanapalli et al. 2020 (arXiv 2002.07028), Chughtai et al. 2023 (arXiv 2302.03025), Janiak et
# al. 2023 ("Polysemantic attention head in a 4-layer transformer", LessWrong), Kissane et al. 2024 (arXiv
# 2406.17759), Michel et al. 2019 (arXiv 1905.10650), Tigges et al. 2024 (arXiv 2407.10827), Voita et al.
# 2019 (arXiv 1905.09418), Wang et al. 2022 (arXiv 2211.00593).
