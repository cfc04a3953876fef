# %% [markdown]
# # 09 Open questions
#
# **You will be able to** turn three questions that nobody has settled into experiments: write the
# prediction down first, measure over several seeds, put error bars on the answer, and say what the
# result does not show.
#
# **Time** 90 to 120 minutes. **You need** chapters 03, 04 and 07; chapters 05 and 06 help. **Models**
# 90 small ones that ship with the course, and every real model on your disk.
#
# So far there was an answer to find. Now there may not be. *Are circuits the same in every model? Does a
# head have one job? Are many small heads better than one large one?* Each has papers on both sides. You
# will not settle them here either, but you will see what one honest evening of measuring can say.

# %%
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens import head_detector
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model
from circuits_course.circuits import (
    COUNTS,
    EVERY,
    SEEDS,
    SHIPPED,
    TASKS,
    Place,
    baseline_heads,
    family_recipe,
    head_name,
    head_scores,
    held_out,
    known_circuits,
    shipped_family,
    strongest_heads,
    train_head_family,
)
from circuits_course.data import ioi_batch, passage, repeats_for, text_tokens
from circuits_course.models import choose_model, real_models_at_hand
from circuits_course.plots import plot_bars, plot_lines, plot_matrix, plot_scatter

torch.set_grad_enabled(False)
chapter = Chapter("09_open_questions")
real = choose_model()  # the name behind "auto"
model = load_model(real)
print("Set-up complete.")

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
plot_matrix(
    together, "1 previous token, 2 duplicate token, 3 induction",
    x_labels=symbols, y_labels=symbols, x_title="key", y_title="query",
)  # fmt: skip

# %% [markdown]
# *What to see:* the diagonal of 1s is what a previous-token head looks at. Below it each repeated
# token has a 2 at its earlier copy, and a 3 one place further on.
#
# TransformerLens has the same three rules, for its `detect_head`, which scores one sequence at a time.
# Where do they differ from yours?

# %% tags=["nbval-check-output"]
theirs = (
    head_detector.get_previous_token_head_detection_pattern,
    head_detector.get_duplicate_token_head_detection_pattern,
    head_detector.get_induction_head_detection_pattern,
)
for (behaviour, mask), pattern_of in zip(masks.items(), theirs, strict=True):
    other = (pattern_of(example).bool().cpu() != mask[0].cpu()).nonzero().tolist()
    print(f"{behaviour}: they differ at [query, key]", other or "nowhere")

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
# part C), and every real model on your disk. Each gets random tokens of its own vocabulary, shown
# twice. To have more real models here, load them once by name, for example
# `load_model("pythia-70m")` or any other with `load_model("owner/name")`; that needs a network.

# %%
chapter.predict(
    "where_induction_sits",
    choices=["in the first third", "in the middle third", "in the last third"],
)

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
induction = {trained.name: trained for trained in shipped_family("induction")}
siblings = {f"seed {t.seed}": t for t in induction.values() if t.n_heads == 4}
models = {"induction-2l": small, **{name: t.model for name, t in siblings.items()}}
profiles = {name: head_profile(m, repeats_for(m)) for name, m in models.items()}
for name in [real, *(name for name in real_models_at_hand() if name != real)]:
    one = model if name == real else load_model(name)
    profiles[name] = head_profile(one, repeats_for(one))
del one
print(f"{'':16}", *(f"{behaviour:18}" for behaviour in profiles["induction-2l"]))
for name, profile in profiles.items():
    best = {b: strongest_heads(scores, 1)[0] for b, scores in profile.items()}
    print(
        f"{name:16}", *(f"{head_name(h):>5} ({profile[b][h]:.2f})      " for b, h in best.items())
    )

# %% tags=["nbval-check-output"]
for behaviour in ("previous token", "induction"):
    best = [strongest_heads(profiles[name][behaviour], 1)[0] for name in siblings]
    print(f"{behaviour}, strongest head in each of {len(best)} seeds:", *map(head_name, best))

# %% [markdown]
# *What to see:* within a column, the layer (before the dot) against the number (after it). A head's number
# cannot be universal: exchanging two heads of a layer changes nothing that the model computes, so
# training picks the number by lot. The *layer* could have been.
#
# ## 3. Where, as a share of depth
#
# Models differ in their number of layers, so we compare **relative depth**: layer $/\,(n_{layers} - 1)$,
# 0 for the first layer, 1 for the last.

# %% exercise="compare_profiles"

# %%
places = compare_profiles(profiles)
print(f"{'depth of the strongest':24}", *(f"{behaviour:>16}" for behaviour in places))
for name in profiles:
    print(f"{name:24}", *(f"{found[name].depth:16.2f}" for found in places.values()))

# %%
points = [
    (layer / max(len(scores) - 1, 1), scores[layer, head].item(), f"{name} {layer}.{head}", behaviour)
    for name, profile in profiles.items() if name not in siblings
    for behaviour, scores in profile.items() if behaviour != "duplicate token"
    for layer, head in (scores > 0.3).nonzero().tolist()
]  # fmt: skip
depth, score, names, kinds = map(list, zip(*points, strict=True))
plot_scatter(
    depth, score, "Every head with a score above .3",
    labels=names, groups=kinds, x_title="relative depth", y_title="score",
)  # fmt: skip

# %% [markdown]
# *What to see:* induction reads what previous-token heads wrote, so some of the latter must stand to the
# left of the former. In a model of two layers there is no other way. In a deep one, look for high
# previous-token scores to the *right* of the strongest induction heads: whatever those are for, they
# cannot feed them.
#
# "Induction heads sit a third of the way up" is a rule one hears. Here it is tested on what is known:

# %%
known = known_circuits()
roles = list(dict.fromkeys(role for _, classes in known.values() for role in classes))
print(f"{'relative depth, mean (lowest to highest)':42}", *(f"{name:>24}" for name in known))
for role in roles:
    cells = []
    for n_layers, classes in known.values():
        depths = torch.tensor([layer / (n_layers - 1) for layer, _ in classes.get(role, [])])
        cells.append(
            f"{depths.mean():.2f} ({depths.min():.2f} to {depths.max():.2f})"
            if len(depths)
            else "none found"
        )
    print(f"{role:42}", *(f"{cell:>24}" for cell in cells))

# %% tags=["nbval-check-output"]
order = ("previous token", "induction", "S-inhibition", "name mover")
for name, (_, classes) in known.items():
    means = [sum(layer for layer, _ in classes[role]) / len(classes[role]) for role in order]
    below = min(layer for layer, _ in classes["previous token"])
    early = [head_name(head) for head in classes["induction"] if head[0] <= below]
    print(f"{name}: mean depths in the order {', '.join(order)}: {means == sorted(means)}")
    print("  induction class, yet above no previous-token head of its circuit:", *early or ["none"])

# %% [markdown]
# The rows are the head classes of indirect object identification (chapter 06): GPT-2 small's as
# published (Wang et al. 2022, figure 2), the other models' as measured for this course. Three things to
# read from them:
#
# - The *order* along depth is a prediction of the algorithm: each class reads what the one before
#   wrote. If it fails, look at the second line of each model: heads that are in a class for *where they
#   look* may get there by other means than the algorithm says.
# - Is the mean depth of the induction class a third in either model? And how wide is its range?
# - "None found" means that one model has a class the other lacks, or that its detector was not run.
#
# ## 4. The same algorithm? Ask by intervention
#
# Two heads with the right scores need not be one circuit. Induction as we know it (chapter 05) *depends*
# on a previous-token head. So take the strongest previous-token heads away, by their mean, and see
# whether the induction heads still find their place; against as many other heads of the same layers.


# %%
def without(model, heads: list[tuple[int, int]]):
    """The model with the z of these heads replaced by its mean over sequences and positions."""

    def flatten(z: Float[Tensor, "batch pos head d_head"], hook):
        z = z.clone()
        for layer, head in heads:
            if layer == hook.layer():
                z[:, :, head] = z[:, :, head].mean((0, 1))
        return z

    layers = sorted({layer for layer, _ in heads})
    return model.hooks(fwd_hooks=[(utils.get_act_name("z", layer), flatten) for layer in layers])


def induction_without(model, count: int) -> list[float]:
    """Score of the strongest induction head: whole, without previous-token heads, without others."""
    tokens = repeats_for(model)
    scores = head_profile(model, tokens)
    head = strongest_heads(scores["induction"], 1)[0]
    below = [h for h in strongest_heads(scores["previous token"], 12) if h[0] < head[0]][:count]
    results = []
    for gone in ([], below, baseline_heads(scores["previous token"], below)):
        with without(model, gone):
            results.append(head_profile(model, tokens)["induction"][head].item())
    return results


dependence = {name: induction_without(m, 1) for name, m in models.items()}
dependence[real] = induction_without(model, 3)
print(f"{'induction score':16}{'whole':>8}{'without previous-token':>26}{'without others':>18}")
for name, (whole, cut, other) in dependence.items():
    print(f"{name:16}{whole:8.2f}{cut:26.2f}{other:18.2f}")

# %% tags=["nbval-check-output"]
count = len(dependence)
cut_hurts = sum(cut < whole / 2 for whole, cut, _ in dependence.values())
other_hurts = sum(other < whole / 2 for whole, _, other in dependence.values())
print(f"Induction halved without previous-token heads: {cut_hurts} of {count} models")
print(f"Induction halved without the others: {other_hurts} of {count} models")

# %% [markdown]
# *What to see:* the middle column is what the algorithm predicts. The right column was meant as a
# control, and in some models it hurts as well. A control that hurts is a finding: those heads do
# something that our three behaviours have no name for.
#
# ### What the control found
#
# Where do the layer-0 heads look, if not one back? Ask how much a token looks at *itself*. Then take the
# head that does it most out of the induction head's **queries** alone, or out of its **keys** alone
# (chapter 05 split them like this).


# %%
def looks_at_itself(pattern: Float[Tensor, "batch head q k"]) -> Float[Tensor, "batch head"]:
    return pattern.diagonal(0, -2, -1)[..., 1:].mean(-1)


def induction_with_input_cut(model, head: int, which: str) -> float:
    """Induction score when head 0.`head` is missing from layer 1's "q" or "k" input, only there."""
    tokens = repeats_for(model)
    _, cache = model.run_with_cache(tokens)
    write = cache["z", 0][:, :, head] @ model.W_O[0, head]  # [batch, pos, d_model]
    varying = write - write.mean((0, 1))

    def cut(into: Float[Tensor, "batch pos head d_model"], hook):
        return into - varying[:, :, None]

    model.set_use_split_qkv_input(True)
    with model.hooks(fwd_hooks=[(f"blocks.1.attn.hook_{which}_input", cut)]):
        score = head_profile(model, tokens)["induction"][1].max().item()
    model.set_use_split_qkv_input(False)
    return score


print(
    f"{'':14}{'head':>5}{'at itself':>12}{'whole':>8}{'cut from queries':>18}{'cut from keys':>15}"
)
for name, one in models.items():
    itself = head_scores(one, repeats_for(one), looks_at_itself)[0]
    head = int(itself.argmax())
    q, k = (induction_with_input_cut(one, head, which) for which in "qk")
    print(
        f"{name:14}{f'0.{head}':>5}{itself[head]:12.2f}{dependence[name][0]:8.2f}{q:18.2f}{k:15.2f}"
    )

# %% [markdown]
# *What to see:* in four of the five seeds a head of layer 0 looks at the current token almost only, and
# the induction head's queries need it while its keys do not. It writes the current token a second
# time, for the query to ask with. `induction-2l`, trained longer and on more symbols, has no such
# head, and its induction works without. Textbooks draw two heads; here it is three, and without a control we would not have
# looked.
#
# ## 5. The same order of appearance? Error bars first
#
# From here on every result comes from several seeds, and a mean without an error is half a result. The
# **standard error** of the mean of $n$ runs is
#
# $$\mathrm{SE} = \frac{1}{\sqrt n} \sqrt{\frac{1}{n-1} \sum_i (x_i - \bar x)^2}$$
#
# It says how far the mean of *these* runs may be off. With five runs it is itself rough: two means
# whose errors overlap have not been told apart.

# %% exercise="mean_and_error"


# %%
def band(curves: list[list[float]]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Mean of several curves, and the band of one standard error around it."""
    pairs = [mean_and_error(list(values)) for values in zip(*curves, strict=True)]
    mean, error = torch.tensor(pairs).T
    return mean, (mean - error, mean + error)


lines = {
    role: band([t.births[role] for t in siblings.values()])
    for role in ("previous token", "induction")
}
x = torch.arange(0, EVERY * len(lines["induction"][0]), EVERY)
plot_lines(
    {role: mean for role, (mean, _) in lines.items()},
    "Strongest head of each kind during training, five seeds, one standard error",
    bands={role: edges for role, (_, edges) in lines.items()},
    x=x, x_title="training step", y_title="score",
)  # fmt: skip

# %% [markdown]
# *What to see:* which line rises first, and whether the bands touch while they rise.


# %% tags=["nbval-check-output"]
def first_over(curve: list[float], level: float) -> int:
    return EVERY * next(i for i, score in enumerate(curve) if score > level)


steps_over = {
    name: [first_over(t.births[role], 0.3) for role in ("previous token", "induction")]
    for name, t in siblings.items()
}
print("Step at which a score first passes .3:")
for name, (previous, later) in steps_over.items():
    print(f"  {name}: previous token {previous}, induction {later}")
print("Previous token first in", sum(a < b for a, b in steps_over.values()), "of", len(steps_over))

# %%
chapter.explain("what_is_universal")

# %% [markdown]
# # B. Does a head have one job?
#
# Models seem to store more features than they have dimensions (**superposition**). Heads may do
# likewise: more jobs than heads. Janiak et al. (2023) describe a head that does induction, fuzzy
# previous-token and indentation, by context. In part A every head had *one* context, random tokens
# shown twice; now we change it.
#
# ## 6. One head, several contexts
#
# For a head and a context we want two numbers: what it looks at, and what is lost without it.

# %%
chapter.predict("jobs_by_context", choices=["the same", "clearly lower", "clearly higher"])

# %% exercise="head_jobs"

# %%
texts = {
    "random, twice": repeats_for(model, batch=2),
    "English": text_tokens(model, passage("alice"), 2, 64),
    "names (IOI)": ioi_batch(model, 4, seed=0).tokens,
}
scores = head_profile(model, texts["random, twice"])
chosen = [
    *strongest_heads(scores["previous token"], 2),
    *strongest_heads(scores["duplicate token"], 1),
    *strongest_heads(scores["induction"], 1),
]
jobs = {head_name(head): head_jobs(model, head, texts) for head in chosen}
for name, contexts in jobs.items():
    print(f"head {name}")
    for context, found in contexts.items():
        print(f"  {context:14}", *(f"{what} {value:6.3f}  " for what, value in found.items()))

# %%
plot_matrix(
    torch.tensor([[found["cost"] for found in contexts.values()] for contexts in jobs.values()]),
    "What is lost without the head",
    x_labels=list(texts), y_labels=list(jobs), x_title="context", y_title="head",
    unit="nats per token", diverging=True,
)  # fmt: skip


# %% tags=["nbval-check-output"]
def top_behaviour(found: dict[str, float]) -> str:
    return max((value, name) for name, value in found.items() if name != "cost")[1]


same = sum(
    len({top_behaviour(found) for found in contexts.values()}) == 1 for contexts in jobs.values()
)
print("Heads whose strongest behaviour is the same in every context:", same, "of", len(jobs))
costs = [[abs(found["cost"]) for found in contexts.values()] for contexts in jobs.values()]
print("Heads whose largest cost is over ten times their smallest:",
      sum(max(row) > 10 * min(row) for row in costs), "of", len(costs))  # fmt: skip

# %% [markdown]
# *What to see:* read a head's row of costs against its scores. A head can look at the same place
# everywhere and matter in one context alone. "A previous-token head" is what it does; what it is *for*
# depends on who reads it.
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
    covered.append((pattern * marked[:, None]).sum((0, 2, 3)))
    away.append(pattern[..., 1:].sum((0, 2, 3)))


names = [utils.get_act_name("pattern", layer) for layer in range(model.cfg.n_layers)]
model.run_with_hooks(english, return_type=None, fwd_hooks=[(name, take_stock) for name in names])
share = torch.stack(covered).sum() / torch.stack(away).sum()
print(
    f"Attention on BOS: {1 - torch.stack(away).sum() / (english.numel() * model.cfg.n_layers * model.cfg.n_heads):.2f}"
)
print(f"Of the rest, on keys that any of the three behaviours marks: {share:.2f}")

# %% [markdown]
# The rest has no name in this chapter. A head that keeps to one of *our* behaviours may still have other
# jobs: a detector finds what it was made for. Sparse autoencoders on attention
# outputs, which need no names beforehand, find several tasks in at least 90 % of GPT-2 small's
# heads, by their authors' estimate (Kissane et al. 2024, arXiv 2406.17759).
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

# %%
at_once = TASKS["all at once"]
tokens = held_out(at_once)
few, many = shipped_family("all at once", counts=[2, 8], seeds=[0])
backs = [f"{back} back" for back in at_once.backs]
for trained in (few, many):
    print(f"{trained.n_heads} heads, loss by job:", *(f"{x:.2f}" for x in at_once.loss(trained.model, tokens)),
          f"(guessing {at_once.worst:.2f})")  # fmt: skip
plot_matrix(
    ablation_costs(few.model, tokens, at_once.loss)[:, 0],
    "All at once, two heads",
    x_labels=["head 0", "head 1"], y_labels=backs, x_title="head taken away", y_title="job",
    unit="nats", diverging=True,
)  # fmt: skip

# %%
plot_matrix(
    ablation_costs(many.model, tokens, at_once.loss)[:, 0],
    "All at once, eight heads",
    x_labels=[str(h) for h in range(8)], y_labels=backs, x_title="head taken away", y_title="job",
    unit="nats", diverging=True,
)  # fmt: skip

# %% [markdown]
# *What to see:* a column is a head, a row a job, and red is what the job loses without the head. Count the
# red cells in each column, and look for heads that have none and jobs that have two. Blue is a job that
# goes *better*: all four jobs bid for the same prediction, so one that falls silent leaves more to the
# others.
#
# ## 8. How many jobs does a head carry?
#
# Counting cells by eye does not scale to 40 models. The **effective number** of a head's jobs weighs them:
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


# %%
def shares(task: str, n_heads: int) -> dict[str, list[float]]:
    """Over seeds: loss, heads in use (some job loses over .1 nats), jobs of each (0 if none is)."""
    rows: dict[str, list[float]] = {"loss": [], "in use": [], "jobs": []}
    held = held_out(TASKS[task])
    for trained in shipped_family(task, counts=[n_heads]):
        costs = ablation_costs(trained.model, held, TASKS[task].loss)[:, 0]
        used = costs.amax(0) > 0.1
        rows["loss"].append(TASKS[task].loss(trained.model, held).mean().item())
        rows["in use"].append(int(used.sum()))
        rows["jobs"].append(effective_number(costs)[used].mean().item() if used.any() else 0.0)
    return rows


measured = {(task, n): shares(task, n) for task in ("all at once", "look-ups") for n in COUNTS}
print("mean +- standard error over", len(SEEDS), "seeds")
print(f"{'task':12}{'heads':>6}{'loss, nats':>18}{'heads in use':>18}{'jobs of each':>18}")
for (task, n), rows in measured.items():
    cells = [f"{mean:.2f} +- {error:.2f}" for mean, error in map(mean_and_error, rows.values())]
    print(f"{task:12}{n:6}", *(f"{cell:>17}" for cell in cells))

# %%
plot_bars(
    {f"{task}, {n}": mean_and_error(rows["jobs"])[0] for (task, n), rows in measured.items()},
    "Jobs carried by a head in use, by task and number of heads",
    y_title="effective number of jobs",
    errors={
        f"{task}, {n}": mean_and_error(rows["jobs"])[1] for (task, n), rows in measured.items()
    },
)

# %% [markdown]
# *What to see:* compare the two tasks at the same number of heads, 8 for instance.

# %% tags=["nbval-check-output"]
alone = mean_and_error(measured["all at once", 8]["jobs"])[0]
shared = mean_and_error(measured["look-ups", 8]["jobs"])[0]
print("All at once, 8 heads: below 1.5 jobs a head:", alone < 1.5)
print("Look-ups, 8 heads: more jobs a head than that:", shared > 1.5)

# %%
chapter.explain("when_heads_share")

# %% [markdown]
# # C. One large head or many small ones?
#
# A layer of $h$ heads of dimension $d_{model}/h$ has the same number of parameters whatever $h$. What does
# the number buy? Every family member below has the same size, data, optimiser and number of steps (four
# times as many where it says "longer").

# %% tags=["nbval-check-output"]
for n in COUNTS:
    config = family_recipe("induction", n, 0).config
    size = sum(w.numel() for w in induction[f"induction, {n} heads, seed 0"].model.parameters())
    print(f"{n:3} heads of dimension {config.d_head:2}: {size} parameters")

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
curves = {n: band([t.history for t in induction.values() if t.n_heads == n]) for n in COUNTS}
plot_lines(
    {f"{n} x {64 // n}": mean for n, (mean, _) in curves.items()},
    "Induction: loss on second copies, five seeds, one standard error; heads x dimension",
    bands={f"{n} x {64 // n}": edges for n, (_, edges) in curves.items()},
    x=torch.arange(0, EVERY * len(curves[1][0]), EVERY), x_title="training step", y_title="nats",
)  # fmt: skip

# %%
print(
    f"{'task':20}{'heads':>6}{'final loss':>18}{'half-way is':>13}{'reached by':>12}{'at step':>9}"
)
for task in TASKS:
    half = (TASKS[task].worst + TASKS[task].best) / 2
    for n in SHIPPED[task]:
        family = shipped_family(task, counts=[n])
        mean, error = mean_and_error([t.history[-1] for t in family])
        reached = [t.half_way for t in family if t.half_way is not None]
        when = f"{sum(reached) / len(reached):.0f}" if reached else "never"
        count = f"{len(reached)} of {len(family)}"
        print(f"{task:20}{n:6}{mean:9.3f} +- {error:.3f}{half:13.2f}{count:>12}{when:>9}")

# %% [markdown]
# *What to see:* the rows of 32 heads, after 500 steps and after 2,000 ("longer"). Half-way means from
# guessing evenly to the best possible loss. Bhojanapalli et al. (2020) prove that a head whose dimension
# is below the sequence length cannot express every attention pattern, and a head of 2 dimensions has to
# pick one of some thirty positions. So: can it not, or does it learn late? Compare its step with that of
# 4 heads, and its final loss too.
#
# Two cautions. A seed may fail where its sisters learn: look for a large error, and at what more steps
# did for it. And a threshold can mislead: at "all at once" two heads end within a hair of half-way, so
# their step is the threshold's doing.
#
# ### One run of your own
#
# The shipped runs took minutes; one takes seconds. This seed is not among them.

# %%
with torch.enable_grad():
    own = next(iter(train_head_family("all at once", counts=[2], seeds=[5])))
mean, error = mean_and_error([t.history[-1] for t in shipped_family("all at once", counts=[2])])
print(f"your run: {own.history[-1]:.3f} nats; the five that ship: {mean:.3f} +- {error:.3f}")

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
        for seed in SEEDS:
            one = induction[f"induction, {n} heads, seed {seed}"].model
            _, cache = one.run_with_cache(held_out(TASKS["induction"]))
            values.append(head_similarity(cache["pattern", layer]))
        similar[f"layer {layer}, {n} heads"] = mean_and_error(values)
plot_bars(
    {name: mean for name, (mean, _) in similar.items()},
    "Induction: mean similarity between heads of a layer",
    y_title="cosine", errors={name: error for name, (_, error) in similar.items()},
)  # fmt: skip

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
for task in ("induction", "look-ups", "all at once"):
    held = held_out(TASKS[task], batch=32)
    for n in COUNTS[1:]:
        values = []
        for trained in shipped_family(task, counts=[n]):
            allowed = 0.1 * (
                TASKS[task].worst - TASKS[task].loss(trained.model, held).mean().item()
            )
            gone = removable_heads(trained.model, held, TASKS[task].loss, allowed)
            values.append(len(gone) / (n * trained.model.cfg.n_layers))
        spare[f"{task}, {n}"] = mean_and_error(values)
plot_bars(
    {name: mean for name, (mean, _) in spare.items()},
    "Share of heads that can go while nine tenths of what was learned stays",
    y_title="share of heads", errors={name: error for name, (_, error) in spare.items()},
)  # fmt: skip

# %% [markdown]
# *What to see:* the bars of one task from left to right. Where jobs can share a head, nearly all heads can
# go. Where they cannot, few can, even with more heads than jobs: the picture of eight heads above shows
# jobs that two heads carry together. In translation models Voita et al. (2019) found the first kind: a
# few specialised heads do the heavy lifting, and the rest can be pruned.

# %%
chapter.explain("what_pruning_shows")

# %%
chapter.progress()

# %% [markdown]
# ## What was measured
#
# **Universality.** In the models that section 4 cut, induction falls without previous-token heads, and in
# all five seeds the previous-token head comes first in training. The numbers of the heads change with the
# seed, their depth with the model, and four of five seeds grew a third part that `induction-2l` does
# without. That fits the literature: the algorithm is stable over training and scale while the heads are
# not (Tigges et al. 2024, on Pythia), and evidence for full universality is mixed (Chughtai et al. 2023).
# *What this does not show:* the small models share data and architecture, and one or two real models are
# no sample.
#
# **One head, several jobs.** Section 6 counted how many heads of the real model kept their behaviour when
# the context changed, and how many kept their worth: two different questions. On tasks with known jobs, two heads with four
# jobs took two each, eight heads took about one each, and eight jobs asked one at a time nearly always
# went to one head, with seven to spare. So having more jobs than heads is not what decides; here it was
# whether jobs are asked *at the same time*. *What this does not show:* how a model of many layers does
# it, where a job can move to another layer.
#
# **Few or many heads.** At equal parameters the best number depended on the task: one head did not learn
# what needs several patterns at once, and 32 heads of dimension 2 learned induction late. That heads can be
# removed afterwards (Michel et al. 2019) and that a few specialised ones carry the work (Voita et al.
# 2019) both show here, on tasks small enough to see why. *What this does not show:* every family was
# trained by one recipe, and another learning rate may favour another number.
#
# ## Where to go on
#
# - Take a one-head model of `shipped_family("look-ups")`: where does the head look after each command?
#   Is it the query that chooses?
# - Six jobs: put `AllAtOnce(backs=(1, 2, 3, 4, 5, 6))` into `circuits_course.diversity.TASKS` and train two,
#   three and six heads. Does three heads give 2.0 jobs each?
# - Run part A with `load_model("pythia-70m")`, and with any model that you care about.
# - Chapter 10 hands you sealed models. What you claim about them will be tested by intervention.
#
# Papers: Bhojanapalli et al. 2020 (arXiv 2002.07028), Chughtai et al. 2023 (arXiv 2302.03025), Janiak et
# al. 2023 ("Polysemantic attention head in a 4-layer transformer", LessWrong), Kissane et al. 2024 (arXiv
# 2406.17759), Michel et al. 2019 (arXiv 1905.10650), Tigges et al. 2024 (arXiv 2407.10827), Voita et al.
# 2019 (arXiv 1905.09418), Wang et al. 2022 (arXiv 2211.00593).
