# %% [markdown]
# # 11 Automatic discovery
#
# **You will be able to** write the methods that find circuits by themselves (ACDC, EAP, EAP-IG), say where
# each of them fails, and judge any such method where the right answer is known.
#
# **Time** 120 minutes. **You need** chapters 05 (composition), 07 (patching, attribution) and 10 (planted
# circuits). **Models** `induction-2l`, sealed models of chapter 10, and SmolLM2-135M-Instruct at the end.
#
# In chapter 07 you followed paths by hand, one receiver at a time. Can a program do that? The field has
# several, and they are nearly always tried on models whose circuit nobody knows. Here it is known: we planted it.
#
# **Not before chapter 10.** To judge a method one has to know the answer, so iolite, jasper and lazulite are opened here. Solve them first.

# %%
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits_course import Chapter, load_model, show_table, verdict
from circuits_course.circuits import discovery, interval, path_patch
from circuits_course.circuits.discovery import said_by, slopes_at
from circuits_course.data import LogitDifference
from circuits_course.mystery import contest, load_mystery, planted_edges, planted_task
from circuits_course.plots import plot_lines, plot_matrix, plot_scatter

chapter = Chapter("11_automatic_discovery")

# %%
torch.set_grad_enabled(False)
model = load_model("induction-2l")
Tokens, Stream = Int[Tensor, "batch pos"], Float[Tensor, "batch pos d_model"]

# %% [markdown]
# ## Before you start
#
# Three questions from earlier chapters.

# %%
chapter.quiz("three_ways_in")

# %%
chapter.quiz("what_an_estimate_misses")

# %%
chapter.quiz("what_single_cuts_miss")

# %% [markdown]
# ## 1. A model as a graph
#
# Everything that parts of a transformer tell each other goes through the residual stream. So the model is a
# **graph**. Its **senders** write to the stream: the embedding and the heads (and MLPs, where there are any). Its
# **receivers** read it: the queries, the keys and the values of each head, each for itself, and the logits. An **edge** leads from every
# sender to every receiver that comes after it. Nothing else is ever said.
#
# A **circuit** is then a set of edges. That is a finer claim than a set of heads: "0.3 matters" becomes "0.3 matters
# to the keys of 1.3".

# %%
chapter.predict("how_many_edges", choices=["about 20", "about 80", "about 1,000"])

# %% exercise="edges_of"

# %% tags=["nbval-check-output"]
edges = edges_of(model)
print(f"{len(edges)} edges; the last leads from {edges[-1][0]} to the {edges[-1][1]}")
verdict("the package's engine has the same", edges == [tuple(e) for e in discovery.edges_of(model)])

# %%
chapter.reveal("how_many_edges")

# %% [markdown]
# The number grows with the square of the model: counted like this, with MLPs as senders and receivers, GPT-2 small
# has 32,491 edges and SmolLM2 70,651 (three query heads share their keys and values, which are counted once). Of sets
# of edges, which is what circuits are, there are $2^{81}$ even here. Nobody tries them all. What follows are two
# ideas for not having to.
#
# ## 2. Running a circuit
#
# What does a circuit do *alone*? Two prompts as ever: the clean one, and a corrupted one that differs where it
# matters. Edges of the circuit carry what their senders say now. All others carry what their senders
# said in the corrupted run. So nothing is missing, and what is outside the circuit knows nothing of the clean prompt.
#
# For that, a head has to read three streams in place of one. Write it; it is chapter 01's attention once more.

# %% exercise="head_says"

# %% [markdown]
# Now the run. Two helpers: `said_by(model, tokens)` has what every sender says on some prompts, by name. And in this very
# run, `now` collects what the senders say as it goes on, layer by layer. A sender that hears something
# else will *say* something else: that is how a cut at the bottom is felt at the top.

# %% exercise="run_with_edges"

# %% [markdown]
# Which prompts? `discovery.induction_task` draws repeats of random symbols. In the corrupted ones the first copy is another, so
# there is nothing to look back to. The metric is the logit of what follows minus that of what the model says on the corrupted prompt.

# %% tags=["nbval-check-output"]
task = discovery.induction_task(model, "repeats", 32, seed=0)
clean, corrupted, metric = task
high, low = metric(model(clean)).item(), metric(model(corrupted)).item()
run = {n: run_with_edges(model, clean, corrupted, e) for n, e in (("all", edges), ("no", []))}
verdict("with all edges it is the clean run", torch.allclose(run["all"], model(clean), atol=1e-3))
verdict("with none it is the corrupted", torch.allclose(run["no"], model(corrupted), atol=1e-3))
print(f"clean {high:.1f}, corrupted {low:.1f}")

# %% [markdown]
# ### The exact effect of one edge
#
# All edges kept but one: what changes? That takes one run for each edge, and is the truth by which estimates will be
# measured. You know this experiment. It is path patching (chapter 07) with one sender and one receiver.


# %% tags=["nbval-check-output"]
def exact_effect(edge: tuple) -> float:
    """The change of the metric when this edge alone carries the corrupted value."""
    kept = [other for other in edges if other != edge]
    return metric(run_with_edges(model, clean, corrupted, kept)).item() - high


edge = (0, 3), (1, 3, "k")
patched = path_patch(model, clean, corrupted, *edge, metric) - high
verdict("cutting one edge is path patching", abs(exact_effect(edge) - patched) < 1e-2,
        f"{exact_effect(edge):.2f} logits")

# %%
exact = discovery.edge_effects(model, *task)  # the same for all edges, in a second
show_table({str(e): {"change of the metric": exact[e]}
            for e in discovery.strongest_edges(exact, 7)}, digits=2)

# %% [markdown]
# *What to see:* four edges make the circuit of chapter 04. The embedding goes into the values of 0.3, 0.3 into the keys of 1.3, the
# embedding into the values of 1.3, and 1.3 to the logits. Each of them costs 13 to 17 logits, of which there are 17. A fifth and a
# sixth cost less than one. The other 75 do next to nothing here.
#
# ## 3. ACDC: cut what can be cut
#
# Conmy et al. (2023, arXiv 2304.14997): begin with all edges, go through them from the logits back, and cut each whose loss hardly
# shows. The order has a reason. Once nothing leads from a head to the logits, its own inputs can go as well.
#
# Their measure is the divergence from the clean run's predictions. We stay with the metric, and with its distance from the clean run.

# %% exercise="acdc"

# %% tags=["nbval-check-output"]
found = acdc(model, clean, corrupted, metric, threshold=0.5)
print(*(f"{a} -> {b}" for a, b in found), sep="\n")
left = metric(run_with_edges(model, clean, corrupted, found)).item()
print(f"{len(found)} of {len(edges)} edges bring back {(left - low) / (high - low):.0%}")

# %% [markdown]
# *What to see:* the four edges, and the fifth. Five edges of 81 do the task with nearly all of the metric, and nobody told ACDC what to look for.
#
# ### What the threshold decides

# %%
thresholds = [0.05, 0.5, 2.0, 10.0]
kept = [discovery.acdc(model, *task, threshold=x) for x in thresholds]
runs = [metric(run_with_edges(model, clean, corrupted, [tuple(e) for e in k])) for k in kept]
plot_lines({"edges left": [len(k) for k in kept],
            "per cent of the metric": [100 * (float(x) - low) / (high - low) for x in runs]},
           "ACDC on induction-2l", x=("threshold, logits", thresholds), y="edges, and per cent",
           log_x=True)

# %% [markdown]
# *What to see:* over a factor of 200 the number of edges falls to four, and most of the metric stays. Here the circuit is sharp, so the threshold
# matters little. In a real model every threshold gives another circuit, and none of them is *the* one.
#
# ### Where it fails
#
# One cut at a time is what chapter 10's backups were made to fool. In iolite, 0.1 does the work, and 2.1 takes over if 0.1 is silent. Three
# edges are planted: from 0.1 to the logits, from 0.1 to the queries of 2.1 (which keeps it quiet), and from 2.1 to the logits.

# %%
chapter.predict("backup_under_acdc",
                choices=["all three", "the one from 0.1 to the logits",
                         "the one from 2.1 to the logits"])

# %% tags=["nbval-check-output"]
iolite = load_mystery("iolite")
its_task, planted = planted_task(iolite), planted_edges(iolite)
rows = {"planted": {"edges between heads": ", ".join(map(str, planted))}}
for order in ("from the logits", "from the embedding"):
    found = discovery.acdc(iolite.model, *its_task, threshold=0.5, order=order)
    names = ", ".join(map(str, discovery.between_heads(found)))
    rows[f"ACDC {order}"] = {"edges between heads": names}
show_table(rows)

# %% [markdown]
# *What to see:* from the logits back, ACDC meets 2.1 first. 2.1 is quiet, so its edge can go; then there is nobody to keep quiet, and
# the edge into its queries goes, too. What is left is the one from 0.1. Begun at the other end it finds another circuit. A greedy search gives *a* circuit, and
# the order decides which.
#
# The circuit that is left does everything the model does, and a third of the truth is in it.

# %%
chapter.reveal("backup_under_acdc")

# %% [markdown]
# ## 4. Attribution: all edges at once
#
# ACDC ran the model once for every edge. Chapter 07 had a way to ask about all heads for the price of three runs: step times slope.
# It works for edges as well (**EAP**, Syed et al. 2023, arXiv 2310.10348). An edge from $s$ to $r$ that carries the corrupted value gives the
# receiver a stream that is off by what the sender says differently. So the metric changes by about
#
# $$(s_{corrupted} - s_{clean}) \cdot \frac{\partial\, metric}{\partial\, \text{input of } r}$$
#
# with the slope in the clean run. One backward pass gives the slopes at all receivers: `slopes_at(model, clean, metric)`.

# %%
chapter.predict("estimate_of_the_keys",
                choices=["about 13", "a quarter of it or less", "several times as much"])

# %% exercise="edge_attribution"

# %%
estimates = edge_attribution(model, clean, corrupted, metric)
strong = [tuple(e) for e in discovery.strongest_edges(exact, 5)]
show_table({str(discovery.Edge(*e)): {"exact": exact[e], "EAP": estimates[e]} for e in strong},
           digits=2)

# %% [markdown]
# *What to see:* the edges of 1.3's values and output are exact, for between them and the logits all is linear. The two that work through 1.3's attention get
# 2 of their 13. Is 2 what EAP says of this edge? Look at the 32 prompts one by one.

# %%
each = []
for row in range(len(clean)):
    one = LogitDifference(metric.right[[row]], metric.wrong[[row]], metric.position[[row]])
    each.append(discovery.edge_attribution(model, clean[[row]], corrupted[[row]], one)[edge])
true = discovery.edge_effects(model, clean, corrupted, metric.each(), edges=[edge])[edge]
plot_scatter(("exact change, logits", true), ("estimated change, logits", each),
             "One edge, 0.3 to the keys of 1.3, on 32 prompts", diagonal=True)

# %% tags=["nbval-check-output"]
ratios = torch.tensor(each) / true.clamp(max=-1)
show_table({"mean": [float(true.mean()), sum(each) / len(each)],
            "median": [float(true.median()), float(torch.tensor(each).median())]},
           ["over 32 prompts", "exact", "EAP"], digits=1)
print(f"EAP gives less than a tenth of the truth on {int((ratios.abs() < 0.1).sum())} prompts, "
      f"and on {int((ratios.abs() > 1).sum())} more than all of it, up to {max(map(abs, each)):.0f}")

# %% [markdown]
# *What to see:* nearly all exact effects lie between -8 and -22. The estimates lie near zero, and a few anywhere
# between -77 and +60. In most clean runs the induction head has made up its mind, and a small step does not change
# it. Where it is in two minds, a small step is worth a lot, in either direction. So the mean is a draw from a
# lottery: with eleven other seeds of the same task it lay anywhere from +2 to -15, where the exact mean stays between
# -9 and -13. A single gradient does not estimate this edge.
#
# (In chapter 07 the gradient was taken in the *corrupted* run and said 0.00: the other end of the same curve.)

# %%
chapter.reveal("estimate_of_the_keys")

# %% [markdown]
# ### Going along the way
#
# Where a slope at one end misleads, take the mean of slopes along the way. **EAP-IG** (Hanna et al. 2024, arXiv 2403.17806) runs the model on
# embeddings between the corrupted and the clean ones, and averages. Nothing else changes.

# %% exercise="integrated_edge_attribution"

# %%
along = {n: discovery.integrated_edge_attribution(model, *task, steps=n) for n in (5, 20)}
table = {str(discovery.Edge(*e)): {"exact": exact[e], "EAP": estimates[e],
                                   "EAP-IG, 5 steps": along[5][e],
                                   "20 steps": along[20][e]} for e in strong}
show_table(table, digits=2)
yours = integrated_edge_attribution(model, clean, corrupted, metric, steps=5)
verdict("yours and the engine's agree", all(abs(yours[e] - along[5][e]) < 1e-2 for e in yours))

# %% [markdown]
# *What to see:* the keys are mended, 11 or 12 of 13, and on other draws four fifths of the exact effect (last table).
# But look at the values of 1.3: exact -13, EAP -13, EAP-IG -5. On the way from the corrupted embeddings the head does
# not yet look at the right place, so its values do not yet matter, and the mean says so. Averaging exchanges one
# error for a smaller one.

# %%
points = {"EAP": estimates, "EAP-IG": along[5]}
names = [str(discovery.Edge(*e)) if e in strong else "" for e in edges]
plot_scatter(("exact change, logits", [exact[e] for e in edges] * 2),
             ("estimated change, logits", [s[e] for s in points.values() for e in edges]),
             "81 edges, estimated and exact", labels=names * 2,
             groups=[name for name in points for _ in edges], diagonal=True)

# %% [markdown]
# *What to see:* most edges sit at zero, exact and estimated. The four that matter stand apart from zero in both: by rank both methods find them.
# That is what estimates are for. They rank; they do not measure.
#
# TransformerLens ships such a tool (`transformer_lens.tools.analysis.attribution_patching`, with `granularity="edge"`). It takes its slope in the
# corrupted run, pointing to the clean one, and gives each position its own edge; with the prompts exchanged and positions summed its numbers are
# the engine's (`tests/circuits/test_discovery.py` holds that). Averaging along the way it does not have yet.

# %% [markdown]
# ## 5. Judging a method
#
# How good is a circuit that a method found? There are two ways to ask. Where the truth is known: does it name the right edges?

# %% exercise="precision_recall"

# %% [markdown]
# And where it is not: does it *do* what the model does? Keep the strongest 1 %, 2 %, 5 % ... of all edges and see how much of the metric comes back. The Mechanistic
# Interpretability Benchmark (Mueller et al. 2025, arXiv 2504.13151) takes the area under that curve (**CPR**: does a small circuit have most of the metric?) and the area between
# the curve and 1 (**CMD**: how far is it from the model?).

# %% exercise="faithfulness_curve"

# %% exercise="area_under"

# %%
sizes = [2, 4, 6, 12, 40]
methods = {"exact": exact, "EAP": estimates, "EAP-IG": along[5]}
drawn = [discovery.random_scores(edges, seed) for seed in range(20)]
curves = {name: faithfulness_curve(model, *task, scores, sizes) for name, scores in methods.items()}
controls = [faithfulness_curve(model, *task, scores, sizes) for scores in drawn]
curves["random"] = torch.tensor(controls).mean(0).tolist()
curves = {name: [0.0, *curve, 1.0] for name, curve in curves.items()}  # no edge, every edge

# %%
counts = [0, *sizes, len(edges)]
shares = [count / len(edges) for count in counts]
areas = {name: {"CMD": area_under(shares, [abs(1 - y) for y in curve])}
         for name, curve in curves.items()}
show_table(areas, caption="Area between the curve and 1: 0 is best", digits=3)
plot_lines(curves, "Faithfulness of circuits of growing size", x=("edges kept", counts),
           y="share of the metric")

# %% [markdown]
# *What to see:* with two edges little works, with four nearly everything, whatever ranked them: a chain is as strong as its weakest link. Random circuits of 40 edges, half of the model, bring back next
# to nothing. In the area the three methods can hardly be told apart, here where the circuit is sharp.
#
# ### Overlap is not faithfulness

# %%
chapter.predict("overlap_or_faithful", choices=["A", "B", "both about the same"])


# %%
def judged(mystery, prompts, found: list[tuple]) -> dict[str, float]:
    """Recall of the planted edges, and faithfulness; all edges of the embedding are kept."""
    ends = [prompts.metric(mystery.model(tokens)) for tokens in (prompts.corrupted, prompts.clean)]
    kept = [e for e in edges_of(mystery.model) if e[0] == "embed" or e in found]
    logits = run_with_edges(mystery.model, prompts.clean, prompts.corrupted, kept)
    recall = precision_recall(found, [tuple(e) for e in planted_edges(mystery)])[1]
    share = (prompts.metric(logits) - ends[0]) / (ends[1] - ends[0])
    return {"recall": recall, "faithful": float(share)}


# %% tags=["nbval-check-output"]
jasper = load_mystery("jasper")
her_task, chain = planted_task(jasper), [tuple(e) for e in planted_edges(jasper)]
first = [((0, 1), "logits")]
table = {"A: iolite, 0.1 to the logits alone": judged(iolite, its_task, first),
         "B: jasper, all but the last edge": judged(jasper, her_task, chain[:-1])}
show_table(table, digits=2)

# %% [markdown]
# *What to see:* A has a third of the edges and does everything. B has three quarters and does nothing: what is
# missing is the link through which all is said. Hanna et al. (2024) saw it in GPT-2 small: circuits found by EAP are
# less faithful than those found by EAP-IG, though both share most of their nodes with circuits found by causal
# interventions. Each number answers its own question: *is this how the model does it?*, and *would this do?*

# %%
chapter.reveal("overlap_or_faithful")

# %%
chapter.explain("why_two_scores")

# %% [markdown]
# ## 6. The referee's table
#
# All methods on every kind of planted circuit, five fresh models of each, measured once for this course (`python -m circuits_course.authoring.measure_discovery`
# does it again). An edge is *found* if its score is at least a twentieth of the gap between clean and corrupted run; for ACDC, if it is left at that threshold. The number: of the planted edges, the share found.

# %%
table = discovery.measured_discovery()
kinds = {kind.replace("_", " "): rows for kind, rows in table["planted"].items()}
columns = ["exact", "ACDC", "EAP", "EAP-IG, 5 steps", "nodes", "exact, edges silenced", "random"]


def recall_of(rows: dict, name: str) -> list[float]:
    """Mean over models, and both ends of its interval."""
    return ({**rows["methods"], "random": rows["random"]})[name]["recall"]


plot_matrix({kind: [recall_of(rows, name)[0] for name in columns] for kind, rows in kinds.items()},
            "Planted edges found", x=("method", columns), y="planted circuit", unit="share")

# %%
show_table({kind: {name: "{:.2f} [{:.2f}, {:.2f}]".format(*recall_of(rows, name))
                   for name in ("exact", "EAP", "EAP-IG, 5 steps", "random")}
            for kind, rows in kinds.items()})

# %% [markdown]
# *What to see:* where one head does all, every method finds it. Where one head decides where another looks, EAP falls
# behind: half of induction, a quarter of the odd one out. (Two back is a chain too, but through values, and EAP finds
# it.) Five steps along the way bring back all of induction and two thirds of the odd one out. Attribution to whole
# heads ("nodes") is no better than EAP. "Random" names as many edges as are planted.
#
# The last rows hide. Told where, told twice: a mark that is the same on every prompt. No method that holds one prompt
# against another finds it; edges that carry nothing at all ("silenced") give it away. Either will do: two heads of
# which one is enough. Exact patching of single edges finds neither, ACDC keeps one of the two (which, its order
# decides), and EAP-IG with 5 steps finds both, because on the way from the corrupted embeddings neither is sure yet.
# With backups nobody finds all, and on two backups the five steps find less than one gradient does (.17 against .30).
#
# So no column is best in every row, and exact is not the same as right: an exact answer to "what does this one edge do, here?" is not an answer to "what is the circuit?".
#
# ### Where they fail together
#
# Each method looks at the world in one way: one edge at a time, between two prompts. So there are circuits none of them can see. lazulite marks the place after BOS on *every* prompt alike; what never
# changes cannot be found by exchanging prompts. What if the edge carries nothing at all? (`corrupted=None`)

# %% tags=["nbval-check-output"]
lazulite = load_mystery("lazulite")
prompts, hidden = planted_task(lazulite), planted_edges(lazulite)
other = discovery.edge_effects(lazulite.model, *prompts, edges=hidden)
silence = discovery.edge_effects(lazulite.model, prompts.clean, None, prompts.metric, edges=hidden)
show_table({str(e): {"another prompt's message": other[e], "no message": silence[e]}
            for e in hidden}, digits=2)

# %% [markdown]
# *What to see:* without any message the first edge matters nearly as much as the second (3.9 and 5.0 logits). With
# another prompt's it does not matter at all, and no gradient between two prompts will ever show it. As in chapter 10:
# what an experiment keeps the same, it cannot see.

# %% [markdown]
# ## 7. Your own method
#
# Now write one. You get a model and a task, and the arithmetic of 40 runs of the model (a meter counts every matrix product, forwards and backwards). That is not enough to
# try every edge, and more than enough for a gradient. Your circuits are held against the planted ones; edges from the embedding do not count.

# %% exercise="my_discovery"


# %%
def gradient_alone(model, task) -> list[tuple]:
    """EAP, and whatever is above a twentieth of the gap between the two runs."""
    scores = discovery.edge_attribution(model, *task)
    gap = task.metric(model(task.clean)) - task.metric(model(task.corrupted))
    return [edge for edge, x in scores.items() if abs(x) > 0.05 * gap]


# %%
entries = {"yours": my_discovery, "a gradient alone": gradient_alone}
seeds = range(7000, 7012)  # a dozen models, made on the spot: take your own numbers
rounds = contest(entries, seeds)
better = interval(a.f1 - b.f1 for a, b in zip(*rounds.values()))
ahead = [sum((a.f1 - b.f1) * sign > 0.01 for a, b in zip(*rounds.values())) for sign in (1, -1)]
print(f"yours less a gradient alone: {better}; ahead on {ahead[0]}, behind on {ahead[1]} of {len(seeds)}")
show_table({name: {"F1": str(interval(r.f1 for r in played)),
                   "recall": sum(r.recall for r in played) / len(played),
                   "cost in runs": sum(r.cost for r in played) / len(played)}
            for name, played in rounds.items()}, digits=2)

# %% [markdown]
# *What to see:* the reference takes a gradient to *choose* thirty edges and then tries these. That costs about 25
# runs. The gradient alone costs 8, and misses edges into decided attention. Most of the dozen are as easy for one as
# for the other (the first line counts). The interval of the difference reaches down to 0: a dozen models do not
# settle it. Twenty others do (last table). F1 is the harmonic mean of precision and recall, with its interval over
# models.
#
# And on circuits that were built to hide? (`circuits-course mystery new --hiding` makes one for you to open by hand.)

# %%
rounds = contest(entries, range(8000, 8008), hiding=True)
show_table({name: {"F1": str(interval(r.f1 for r in played)),
                   "precision": sum(r.precision for r in played) / len(played),
                   "recall": sum(r.recall for r in played) / len(played)}
            for name, played in rounds.items()}, digits=2)

# %% [markdown]
# *What to see:* both lose, and by recall: what they name is right, and half is missing. Messages that never change, two heads of which either will do, backups of backups. To beat these, try *pairs*, or
# silence in the place of another prompt, within the same 40 runs.

# %% [markdown]
# ## 8. A real model
#
# SmolLM2 and the task of chapter 06. ACDC would need 70,000 runs. EAP takes a few seconds.

# %%
real = load_model("auto")
ioi = discovery.ioi_task(real, 8, seed=1, templates=[0], corruption="swap_s2")
scores = discovery.edge_attribution(real, *ioi)
top = discovery.strongest_edges(scores, 12)
checked = discovery.edge_effects(real, *ioi, edges=top)
print(f"{len(scores)} edges")
show_table({str(e): {"EAP": scores[e], "exact": checked[e]} for e in top}, digits=2)

# %% [markdown]
# *What to see:* names that you know from chapters 06 and 07. 23.3, 29.1 and 23.0 write the answer; 29.0 and 24.4
# write against it, and 24.4 does so because it hears 23.3 and 23.0 *through its queries*. 20.0 tells 23.7 whom not to
# look at. Of 70,651 edges these twelve were found in seconds. Exact patching agrees in every sign. Edges to the
# logits are estimated within a hundredth or two; where an MLP or attention stands between, the estimate is up to
# twice the exact effect, or two thirds of it. A letter `k` or `v` with a head is that of a *group*: "23.1 v" are the
# values that 23.3, 23.4 and 23.5 share, not those of query head 23.1.
#
# Is it *the* circuit? It is a ranking, on eight prompts of one template, under one corruption. What to do with it you know: exact patches, controls, other templates.

# %%
chapter.explain("which_method")

# %% [markdown]
# ## How sure is this?
#
# Each sentence was tested on prompts, seeds and models that this notebook does not use.

# %%
chapter.how_sure()

# %%
chapter.progress()

# %% [markdown]
# ## The map: where the field goes from here
#
# Edges between heads are one kind of answer. Others are short of attention circuits or go beyond them: causal scrubbing, alignment with variables (DAS), dictionaries of features and attribution graphs, steering, Patchscopes,
# what in the *data* makes induction form, and other mechanisms for it. [docs/where_next.md](../docs/where_next.md) has a paragraph on each: the question, what it cannot answer, the paper, code that runs.
#
# Two of them fit on a laptop, so here they are.
#
# ### A dictionary for one head
#
# The head 1.3 writes 16 numbers at each position. They say which of 63 symbols it found. Sixty-three directions do
# not fit into 16 dimensions at right angles, so one coordinate has to serve many symbols: **superposition**. A
# **dictionary** (a sparse autoencoder) learns 64 directions such that each output is one of them, times a size. Do
# its features stand for symbols?

# %%
from circuits_course.circuits import best_f1, random_dictionary, train_dictionary
from circuits_course.data import repeated_random_tokens


def outputs(seed: int) -> tuple[Float[Tensor, "n d_head"], Int[Tensor, " n"]]:
    """What 1.3 says in the second copies of 300 sequences, and the symbol it looks for."""
    repeats = repeated_random_tokens(300, 20, model.cfg.d_vocab, torch.Generator().manual_seed(seed))
    z = model.run_with_cache(repeats)[1]["z", 1][:, 21:40, 3]
    return z.flatten(0, 1), repeats[:, 22:41].flatten()


(states, known), (new, symbols) = outputs(0), outputs(1)
trained = [train_dictionary(states, 64, seed=seed) for seed in range(3)]
drawn = [random_dictionary(states, 64, seed=seed) for seed in range(20)]
found, controls = ([best_f1(d.features(new), symbols).mean() for d in ds] for ds in (trained, drawn))

# %%
centred = new - states.mean(0)
alone = best_f1(torch.cat([centred.relu(), (-centred).relu()], 1), symbols).mean()
means = torch.stack([states[known == symbol].mean(0) for symbol in range(1, 64)])
nearest = torch.nn.functional.one_hot(torch.cdist(new, means).argmin(1), 63).float()
show_table({"the head's 16 coordinates": f"{alone:.2f}",
            "64 random directions": f"{min(controls):.2f} to {max(controls):.2f}",
            "a trained dictionary, three seeds": f"{min(found):.2f} to {max(found):.2f}",
            "the nearest of 63 means, told the symbols": f"{best_f1(nearest, symbols).mean():.2f}"},
           ["read by", "F1 of the best feature for a symbol, mean"])
verdict("every dictionary beats 20 random ones", min(found) > max(controls))

# %% [markdown]
# *What to see:* a single coordinate tells next to nothing. The dictionary comes near what somebody reaches who is
# told the symbols. But look at the control: 64 *random* directions, of which only the loudest may speak, already do
# well, because the outputs lie in 63 tight bundles. A table without that line would have made the dictionary look
# better than it is.
#
# ### Steering with a difference of means
#
# The mean state after sentences like "The film was wonderful." minus that after "The film was terrible." is a
# direction. Add it, twice, to the stream after layer 12, at every position of other prompts, and see which words come
# next: words that stand in none of the sentences. Two controls, both of the same length: random directions, and
# contrasts of the same sentences that mean something else (half of the praise and half of the blame against the other
# halves).

# %%
from circuits_course.circuits import beats, random_directions, residual_states, steered
from circuits_course.data import word_token

KINDS = {"praise": "wonderful great lovely delightful brilliant excellent",
         "blame": "terrible awful horrible dreadful boring"}
THINGS, LAYER = ("film", "meal", "trip", "song"), min(12, real.cfg.n_layers - 1)
texts = {kind: [f"The {thing} was {word}." for thing in THINGS for word in words.split()]
         for kind, words in KINDS.items()}
states = {kind: residual_states(real, real.to_tokens(said), [LAYER])[0, :, -1]
          for kind, said in texts.items()}
direction = 2 * (states["praise"].mean(0) - states["blame"].mean(0))

# %%
def other_contrast(seed: int) -> Float[Tensor, " d_model"]:
    """Half of the praise and half of the blame against the other halves, as long as `direction`."""
    dice = torch.Generator().manual_seed(seed)
    halves = [each[torch.randperm(len(each), generator=dice)].chunk(2) for each in states.values()]
    apart = torch.cat([h[0] for h in halves]).mean(0) - torch.cat([h[1] for h in halves]).mean(0)
    return apart * direction.norm() / apart.norm()

# %%
people = ("sister", "brother", "friend", "teacher", "mother", "father", "uncle", "boss")
about = ("party", "letter", "school", "shop", "picture", "sea", "soup", "weather")
probes = real.to_tokens([f"My {who} told me about the {what}. It was"
                         for who, what in zip(people, about, strict=True)])
good, bad = ([word_token(real, w) for w in ws.split()]
             for ws in ("good beautiful nice amazing", "bad sad ugly worst"))  # none in the sentences
pushes = torch.cat([torch.stack([0 * direction, direction, -direction]),
                    random_directions(direction, 20),
                    torch.stack([other_contrast(seed) for seed in range(20)])])
logits = steered(real, probes, LAYER, pushes)
liking = logits[..., good].mean(-1) - logits[..., bad].mean(-1)  # [push, prompt]
up, down, *others = liking[1:] - liking[0]
controls = {"random directions": others[:20], "other contrasts of the same sentences": others[20:]}

# %%
rows = {"with it": str(interval(up)), "against it": str(interval(down))}
for name, changes in controls.items():
    ends = (float(f(change.mean() for change in changes)) for f in (min, max))
    rows[f"20 {name}, as long"] = "{:+.2f} to {:+.2f}".format(*ends)
show_table(rows, ["steered", "change: logits of four good words minus four bad ones"])
beaten = beats(up.mean(), [change.mean().abs() for change in others])
verdict("steering beats 20 random directions and 20 other contrasts", beaten.more_than == 40,
        str(beaten), model=real)

# %% [markdown]
# *What to see:* both directions work, by several logits, on prompts and words that the sentences did not have. Random
# directions are the weaker control: they point where no state ever lies. Contrasts of real states move the same words
# more than twice as far, up to 3 logits. Beside them the push *with* praise still stands out; the push *against* it
# hardly does.
#
# What it does not say: that the model *has* a variable "praise" there, or that it uses this direction by itself. A push shows what would happen, not what does.
#
# ## What you measured, what the literature says, where to go on
#
# | method | runs | what it cannot see |
# |---|---|---|
# | exact patching of edges | one for each edge | whatever takes two changes at once; what is the same on both prompts |
# | ACDC | one for each edge, one after the other | backups; it depends on threshold and order |
# | EAP | two and a gradient | edges into decided attention: a lottery |
# | EAP-IG | a gradient for each step | less; on the way values may count for less than they do |
# | recall of known edges | none | whether the circuit works |
# | faithfulness | one for each circuit | whether it is how the model does it |
#
# - Conmy et al. 2023 (arXiv 2304.14997): ACDC. Syed et al. 2023 (arXiv 2310.10348): attribution to edges does as well or better, for less.
# - Hanna et al. 2024 (arXiv 2403.17806): EAP-IG, and that faithfulness and overlap part.
# - Mueller et al. 2025 (arXiv 2504.13151): a benchmark with areas under faithfulness curves. Miller et al. 2024 (arXiv 2407.08734): how much such scores depend on how one ablates.
# - Kramar et al. 2024 (arXiv 2403.00745): where attribution patching fails, and AtP\*.
#
# This is the last chapter. [docs/where_next.md](../docs/where_next.md) is the map of what lies beyond.
