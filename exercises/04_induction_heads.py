# %% [markdown]
# # 04 Induction heads
#
# **You will be able to** find the heads that let a model continue a sequence it has never seen,
# trace them through one prompt, show by ablation that they do it, watch them being born, and say
# which popular claims about them hold in a real language model.
#
# **Time** 90 to 120 minutes. **You need** chapters 00 to 03, or to have met attention patterns, $W_{OV}$
# and hooks elsewhere. **Models** `induction-2l` first, a transformer of two layers whose training data we know
# exactly; then a real language model.
#
# Show a model something once, and it can use it a few words later. Nobody changed its weights, so
# something in it must have *looked back*. This chapter is about the circuit that does: Elhage et
# al. (2021) found it and Olsson et al. (2022) followed it through training.

# %%
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import FactoredMatrix
from transformer_lens import utilities as utils

from circuits_course import Chapter, load_model
from circuits_course.circuits import (
    PUBLISHED,
    InductionTrace,
    baseline_heads,
    head_name,
    head_scores,
    read_patterns,
    strongest_heads,
)
from circuits_course.data import bos_token, longest_period
from circuits_course.models import RECIPES, checkpoints, smear, steps
from circuits_course.plots import (
    CheckpointScrubber,
    HeadBrowser,
    LiveTraining,
    plot_attention,
    plot_bars,
    plot_heads,
    plot_lines,
    plot_scatter,
)

torch.set_grad_enabled(False)
chapter = Chapter("04_induction_heads")
model = load_model("induction-2l")
print("Set-up complete.")

# %% [markdown]
# ## Before you start
#
# Three questions from earlier chapters. If one of them is new to you, its feedback will do.

# %%
chapter.quiz("what_is_moved")

# %%
chapter.quiz("what_a_key_knows")

# %%
chapter.quiz("previous_token_writes")

# %% [markdown]
# ## 1. A sequence nobody has seen
#
# How do you test whether a model looks back? Ordinary text will not do: a model may continue "Harry
# Pot-" from what it learned in training. So we take tokens **at random** and show them **twice**. The
# first copy cannot be predicted by anyone. The second can be predicted by whoever looks back, and by
# nobody else.
#
# `BOS  q x b  q x b`. Token BOS begins every sequence; the length of one copy is its *period*.

# %% exercise="repeated_tokens"

# %% [markdown]
# *Did your draws leave BOS out?* The check lets both pass. A second BOS in the middle would be a landmark
# that no ordinary token is: with 50,000 tokens that hardly ever happens, with 64 it does.

# %%
PERIOD = 25
tokens = repeated_tokens(
    batch=32, period=PERIOD, d_vocab=model.cfg.d_vocab, bos=bos_token(model), seed=0
)
print(" ".join(model.to_str_tokens(tokens[0])))

# %%
chapter.predict(
    "second_copy",
    choices=[
        "high throughout: random is random",
        "low throughout",
        "high in the first copy, low in the second",
    ],
)

# %% [markdown]
# ### How surprised was it, token by token?
#
# A model's **loss** on a token is $-\log p$, where $p$ is the probability it gave that token: 0 nats where
# it was certain, $\ln 63$ where it guessed evenly among 63 symbols. We want it for every token, because an
# average over the sequence would hide what happens in its middle.

# %% exercise="loss_per_token"

# %%
logits, cache = model.run_with_cache(tokens)
loss = loss_per_token(logits, tokens).mean(0)
plot_lines(
    {"loss": loss, "even guessing": torch.full_like(loss, 63).log()},
    "induction-2l on random tokens shown twice",
    x=torch.arange(1, len(loss) + 1),
    x_title="position of the token",
    y_title="loss (nats), mean of 32 sequences",
    markers={"second copy begins": PERIOD + 1},
)

# %% [markdown]
# *What to see:* a cliff. The first copy costs at least as much as even guessing (more, since the model also knows a
# Markov chain, which is of no use here). The first token of the second copy is still a surprise: nothing says
# that a repeat begins. One token later the model is on the track.

# %% tags=["nbval-check-output"]
print(f"first copy:  {loss[: PERIOD - 1].mean():.0f} nats")
print(f"second copy: {loss[PERIOD:].mean():.0f} nats")

# %% [markdown]
# ## 2. Where does it look?
#
# Nothing in the model's training could have taught it these sequences. It looked back; the question is
# where. Take `BOS q x b q x b`: at the second `q` it should say `x`.

# %%
chapter.predict(
    "where_from_second_q",
    choices=["BOS", "the first q", "the first x", "the first b"],
)

# %% [markdown]
# An **induction head** attends from a token to the one that *followed* an earlier copy of it
# (prefix matching), and raises the logit of what it finds there (copying). We measure the first half
# now.

# %% exercise="induction_score"

# %%
scores = head_scores(model, tokens, lambda pattern: induction_score(pattern, PERIOD))
plot_heads(scores, "induction-2l: who looks at the token after the earlier copy?",
           unit="induction score")  # fmt: skip

# %% [markdown]
# *What to see:* layer 0, the upper row, is pale: none of its heads does it. The bright cell is in layer 1.
#
# ### Look at the patterns themselves

# %%
short = model.to_tokens("qxbmztqxbmzt")
_, short_cache = model.run_with_cache(short)
previous = head_scores(model, tokens, lambda pattern: pattern.diagonal(-1, -2, -1).mean(-1))
before, after = strongest_heads(previous, 1)[0], strongest_heads(scores, 1)[0]
plot_attention(
    model.to_str_tokens(short),
    torch.stack([short_cache["pattern", layer][0, head] for layer, head in (before, after)]),
    "The strongest previous-token head and the strongest induction head",
    head_names=[head_name(before), head_name(after)],
)

# %% [markdown]
# *What to see:* two diagonals. The head of layer 0 looks one token back, everywhere. The head of layer 1 rests
# on BOS through the first copy; in the second its bright cells run along a diagonal that begins at
# the first `x`, one to the right of the matching `q`.

# %%
chapter.predict("which_layer", choices=["layer 0", "layer 1", "either"])

# %% [markdown]
# ### All of them, in any model
#
# Put the parts together: a function that finds the induction heads of *any* model. You will use
# it on a language model with hundreds of heads below.

# %% exercise="find_induction_heads"

# %% tags=["nbval-check-output"]
induction_heads = find_induction_heads(model)
print("Induction heads of induction-2l:", ", ".join(map(head_name, induction_heads)))
print("Their layers:", sorted({layer for layer, _ in induction_heads}))

# %% [markdown]
# ## 3. The whole walk: [A][B] ... [A] → [B]
#
# Why does it take two layers? Follow one prompt. At the last token, `q`, an induction head asks: *where
# is the position whose previous token is `q`?* For that question to have an answer, a key must say
# which token stood **before** it. In layer 0 a key knows its own token and its position. So somebody has to
# write the previous token there first:
#
# 1. **Layer 0, at the first `x`:** the previous-token head attends to `q` and writes "before me: q".
# 2. **Layer 1, at the last `q`:** the query "I am q" meets the key "before me: q" at `x`. This is
#    *K-composition*: a head's keys read what another head wrote (chapter 05).
# 3. **Layer 1 again:** having found `x`, its $W_{OV}$ copies the token `x` to the logits.
#
# Now trace it in the model.

# %% exercise="trace_induction"

# %% tags=["nbval-check-output"]
trace = trace_induction(model, "qxbmztq")
print(f"Last token {trace.token!r}, earlier at {trace.earlier}, followed by {trace.followed_by!r}.")
print(f"The model says {trace.predicted!r}. Is that induction? {trace.is_induction}")

# %%
print(trace)

# %% [markdown]
# ### Cut the wire
#
# That story makes a prediction that a picture cannot test: without the previous-token head, the induction heads lose
# their way, although nobody touched *them*. We silence it, and score all heads again.


# %%
def silence(z: Tensor, hook) -> Tensor:
    z[:, :, before[1]] = 0.0
    return z


def attention_to_bos(pattern: Tensor) -> Tensor:
    return pattern[..., 1 + PERIOD :, 0].mean(-1)


with model.hooks(fwd_hooks=[(utils.get_act_name("z", before[0]), silence)]):
    scores_without = head_scores(model, tokens, lambda pattern: induction_score(pattern, PERIOD))
    to_bos_without = head_scores(model, tokens, attention_to_bos)
plot_bars(
    {
        f"{head_name(head)} {when}": value[head]
        for head in induction_heads
        for when, value in (("whole", scores), (f"without {head_name(before)}", scores_without))
    },
    f"Induction scores with and without the previous-token head {head_name(before)}",
    y_title="induction score",
)

# %%
to_bos = head_scores(model, tokens, attention_to_bos)
print(f"Attention of {head_name(after)} to BOS: {to_bos[after]:.2f}; "
      f"without {head_name(before)}: {to_bos_without[after]:.2f}")  # fmt: skip

# %% [markdown]
# *What to see:* the second bar of each pair. A head of layer 1 no longer finds its place because a head of layer 0
# fell silent. It has not gone blind: it rests on BOS, as heads do that find nothing.

# %%
chapter.explain("why_two_layers")

# %% [markdown]
# ## 4. What does it write?
#
# Looking at the right token is half of it. The other half is $W_{OV}$: what the head writes when it looks.
# From token to logits that is $W_E W_{OV} W_U$, a matrix of vocabulary × vocabulary: row = token looked at,
# column = token whose logit changes.
#
# A head **copies** if each token raises its own logit. Looking at the diagonal alone would be fooled by
# heads that raise everything, so Elhage et al. (2021, "Copying / primitive in-context learning") use the **eigenvalues** $\lambda$: if
# looking at a mixture of tokens raises the same mixture, its eigenvalue is positive. The score
# $\sum \lambda / \sum |\lambda|$ is 1 if all are positive and $-1$ if all are negative.
#
# With 50,000 tokens that matrix would take 10 GB. But it is a product of two thin factors, $A B$ with $A$
# `[d_vocab, d_head]`, and $A B$ has the same non-zero eigenvalues as $B A$, which is `[d_head, d_head]`.
# TransformerLens keeps such products apart as a `FactoredMatrix` with the factors `.A` and `.B`.

# %%
chapter.predict("copying_alone", choices=["yes", "no, it does not say where the head looks"])

# %% exercise="copying_score"


# %%
def full_OV(model, layer: int, head: int) -> FactoredMatrix:
    """What a head writes onto the logits of all tokens [column] when it looks at a token [row]."""
    OV = model.blocks[layer].attn.OV
    return FactoredMatrix(model.W_E @ OV.A[head], OV.B[head] @ model.W_U)


every_head = [(layer, head) for layer in range(2) for head in range(4)]
copying = {head: copying_score(full_OV(model, *head)).item() for head in every_head}
plot_scatter(
    [scores[head].item() for head in every_head],
    list(copying.values()),
    "Looking and copying are two things",
    labels=list(map(head_name, every_head)),
    groups=[f"layer {layer}" for layer, _ in every_head],
    x_title="induction score (where it looks)",
    y_title="copying score (what it writes)",
)

# %% [markdown]
# *What to see:* induction heads are at the right **and** at the top. A head may be high and far to the left: it
# copies, but something else than what followed. So neither number alone makes an induction head.

# %% tags=["nbval-check-output"]
positive = all(copying[head] > 0.5 for head in induction_heads)
print("Every induction head has a copying score over 0.5:", positive)

# %% [markdown]
# ## 5. Does it matter?
#
# Scores say what a head looks like. Whether the model *needs* it is a question for an experiment: take
# heads away and measure how much of the second copy is still predicted.
#
# Take away how? **Zero ablation** puts zeros in place of the head's output. That removes what the head said about
# this input *and* what it always says. **Mean ablation** puts the head's mean there and removes the former
# alone.

# %% exercise="ablate_heads"


# %% [markdown]
# We measure with the share of second-copy tokens that are the model's first guess. And we compare: with
# nothing removed, with the induction heads removed, with as many *other* heads of the same layer removed (the
# **baseline**: any two heads might hurt), and with the previous-token head removed.


# %%
def second_copy_accuracy(logits: Tensor, tokens: Tensor) -> float:
    """Share of the second copy's tokens, after its first, that are the top guess."""
    period = tokens.shape[1] // 2
    guesses = logits[:, 1 + period : -1].argmax(-1)
    return (guesses == tokens[:, 2 + period :]).float().mean().item()


others = baseline_heads(scores, induction_heads)
groups = {
    "no head": [],
    "induction heads": induction_heads,
    "others of their layer": others,
    "previous-token head": [before],
}
accuracy = {
    (name, mode): second_copy_accuracy(ablate_heads(model, tokens, heads, mode), tokens)
    for name, heads in groups.items()
    for mode in ("zero", "mean")
}
print(f"{'removed':24}{'zero':>6}{'mean':>6}")
for name, heads in groups.items():
    print(f"{name:24}{accuracy[name, 'zero']:6.2f}{accuracy[name, 'mean']:6.2f}   "
          + ", ".join(map(head_name, heads)))  # fmt: skip

# %% tags=["nbval-check-output"]
carried = accuracy["no head", "mean"] - accuracy["induction heads", "mean"]
baseline = accuracy["no head", "mean"] - accuracy["others of their layer", "mean"]
print("Losing the induction heads costs more than losing the others:", carried > 2 * baseline)

# %%
chapter.predict(
    "who_carries",
    choices=[
        "the induction head",
        "the previous-token head below it",
        "each of those two",
        "every head, a little",
    ],
)

# %%
whole = accuracy["no head", "mean"]
costs = torch.tensor(
    [
        [
            whole - second_copy_accuracy(ablate_heads(model, tokens, [(i, j)], "mean"), tokens)
            for j in range(4)
        ]
        for i in range(2)
    ]
)
plot_heads(costs, "What the second copy loses without each head (mean ablation)",
           unit="accuracy lost", diverging=True)  # fmt: skip

# %% [markdown]
# *What to see:* two dark cells, one in each layer, and nearly nothing elsewhere. The circuit is a chain, and a chain
# breaks at either link. (Larger models often have several induction heads, and then losing one may cost nothing
# because others stand in for it.)
#
# Zero and mean ablation hardly differ in this model, whose other heads were not used to a constant from these two.
# Chapter 07 shows a case where they differ a great deal.

# %%
chapter.explain("zero_or_mean")

# %% [markdown]
# ## 6. How did it come about?
#
# `induction-2l` was saved many times while it was trained. Half of its data are Markov chains, which can be
# predicted from the last token; the other half are repeated random segments. What came first, and did it come
# gradually?
#
# A number to follow: how much better does the model predict *late* in its context than early? Olsson et
# al. (2022) call that difference the **in-context-learning score**: loss at the 500th token minus loss at the 50th.

# %% exercise="in_context_learning_score"


# %% [markdown]
# Our model's context is 64 tokens long, so we take the 5th and the 60th, on a fresh sample of its training data.

# %%
sample = RECIPES["induction-2l"].data.batch(128, torch.Generator().manual_seed(1))
saved = checkpoints("induction-2l")


def measure(step: int) -> dict:
    """What a checkpoint can do."""
    then = load_model("induction-2l", checkpoint=step)
    logits, cache = then.run_with_cache(tokens)
    loss, sample_loss = loss_per_token(logits, tokens), loss_per_token(then(sample), sample)
    looks_back = cache["pattern", before[0]][:, before[1]].diagonal(-1, -2, -1)
    _, short_cache = then.run_with_cache(short)
    return {
        "loss, first copy": loss[:, : PERIOD - 1].mean().item(),
        "loss, second copy": loss[:, PERIOD:].mean().item(),
        "in-context-learning score": float(in_context_learning_score(sample_loss, 5, 60)),
        "previous token": looks_back.mean().item(),
        "induction": induction_score(cache["pattern", after[0]], PERIOD)[:, after[1]].mean().item(),
        "patterns": torch.stack([short_cache["pattern", i][0, j] for i, j in (before, after)]),
    }


frames = {step: measure(step) for step in saved}
losses = ["loss, first copy", "loss, second copy", "in-context-learning score"]
plot_lines(
    {name: [frame[name] for frame in frames.values()] for name in losses},
    "Losses during training",
    x=saved,
    x_title="training step",
    y_title="nats",
)

# %%
plot_lines(
    {
        f"head {head_name(head)}, {role}": [frame[role] for frame in frames.values()]
        for head, role in ((before, "previous token"), (after, "induction"))
    },
    "Scores during training",
    x=saved,
    x_title="training step",
    y_title="mean attention to the right place",
)

# %% [markdown]
# *What to see:* nothing for a long time, then everything within a short stretch: the **phase change**. Second-copy loss and
# in-context-learning score fall together, and both heads sharpen in the same stretch, the one below no
# later than the one above.

# %% tags=["nbval-check-output"]
second = [frame["loss, second copy"] for frame in frames.values()]
start, end = second[0], second[-1]
fallen = [(start - value) / (start - end) for value in second]
tenth = next(step for step, share in zip(saved, fallen, strict=True) if share > 0.1)
most = next(step for step, share in zip(saved, fallen, strict=True) if share > 0.9)
print("The middle 80 % of the fall takes less than a quarter of all steps:",
      most - tenth < saved[-1] / 4)  # fmt: skip

# %% [markdown]
# Now walk through it. Move the slider (or use the arrow keys) and watch the two diagonals appear. A saved
# notebook shows the end of training.


# %%
def show_frame(step, frame):
    second_loss = frame["loss, second copy"]
    return plot_attention(
        model.to_str_tokens(short),
        frame["patterns"],
        f"Step {step}: second-copy loss {second_loss:.2f}",
        head_names=[head_name(before), head_name(after)],
    )


CheckpointScrubber(frames, show_frame)

# %% [markdown]
# ### Live
#
# You need not take the checkpoints' word for it. The next cell trains the same kind of model from scratch, until its
# second-copy loss has fallen below half of the first copy's, and a little further. To be quick it takes half the batch,
# and three quarters of it repeats. (What if *all* data were repeats? Set `repeats_share=1.0` and see whether more is better.)


# %%
def quick(recipe, repeats_share: float = 0.75):
    """The recipe with half the batch and more repeats, on the threads that this notebook has."""
    data = replace(recipe.data, repeats_share=repeats_share)
    return replace(recipe, batch=32, data=data, threads=torch.get_num_threads())


def train_live(recipe, title: str, last: int, stop_early: bool = False) -> dict[str, list[float]]:
    """Trains a model, watching its loss on both copies, for `last` steps.

    stop_early: stops 50 steps after the second copy's loss has fallen below half of the first's.
    """
    halved = None
    with LiveTraining(title, total=last, y_title="loss (nats)") as live:
        for step in steps(recipe):
            if step.number % 10 == 0:
                loss = loss_per_token(step.model(tokens), tokens)
                first, second = loss[:, : PERIOD - 1].mean(), loss[:, PERIOD:].mean()
                live.update(step.number, **{"first copy": first, "second copy": second})
                if halved is None and second < first / 2:
                    halved = step.number
            if step.number == last or (stop_early and halved and step.number >= halved + 50):
                break
    print(f"{title}: second-copy loss halved at step {halved}")
    return live.history


born = train_live(quick(RECIPES["induction-2l"]), "Two layers, from scratch", 600, stop_early=True)

# %% [markdown]
# *What to see:* the same cliff, now along training instead of along the sequence.

# %% tags=["nbval-check-output"]
print("The phase change happened while you watched:", born["second copy"][-1] < 2)

# %% [markdown]
# ## 7. One layer, after all
#
# If the story is right, two layers are not needed for their own sake. They are needed because keys of
# the first layer do not know the token before them. Olsson et al. (2022, "Argument 2") tested that. They gave
# each head of a **one-layer** model keys that are mixed with the key before them,
#
# $$k_j \leftarrow s\, k_j + (1 - s)\, k_{j-1}, \qquad s = \mathrm{sigmoid}(\alpha),$$
#
# with one number $\alpha$ per head, learned like any other weight.

# %%
chapter.predict(
    "one_layer",
    choices=["neither: it takes two layers", "only the one with smeared keys", "both"],
)

# %% exercise="smear_keys"

# %% [markdown]
# The course's transformer has this built in (`smeared_keys=True`). Is it the same as yours?

# %% tags=["nbval-check-output"]
keys, alpha = torch.randn(2, 5, 3, 4), torch.randn(3)
print("Same as the model's own:", torch.allclose(smear_keys(keys, alpha), smear(keys, alpha)))

# %% [markdown]
# Train a one-layer model with plain and one with smeared keys, on the same data.

# %%
plain = train_live(quick(RECIPES["plain-1l"]), "One layer, plain keys", 250)
smeared = train_live(quick(RECIPES["smeared-1l"]), "One layer, smeared keys", 250)
plot_lines(
    {"plain keys": plain["second copy"], "smeared keys": smeared["second copy"]},
    "Second copies, predicted by a single layer",
    x=smeared["step"],
    x_title="training step",
    y_title="second-copy loss (nats)",
)

# %% [markdown]
# *What to see:* the same phase change with one layer, once keys know their predecessor. Without it the loss barely moves:
# one plain layer can at best learn that tokens of the context are likelier than others.

# %% tags=["nbval-check-output"]
print(f"plain keys:   {plain['second copy'][-1]:.0f} nats")
print(f"smeared keys: {smeared['second copy'][-1]:.0f} nats")

# %% [markdown]
# ## 8. A real language model
#
# Everything so far was a model we made. Does a model trained on human text do it too? `load_model("auto")` takes GPT-2
# small where it can be had, and SmolLM2-135M otherwise; the line it prints says which. All that follows is computed
# for the one you have.

# %%
real = load_model("auto")
print(f"{real.cfg.n_layers} layers of {real.cfg.n_heads} heads; {real.cfg.d_vocab} tokens")

# %%
chapter.predict(
    "how_deep",
    choices=[
        "in layer 1, as in the small model",
        "in the first third",
        "around the middle",
        "in the last third",
    ],
)

# %% [markdown]
# The same test, with tokens drawn from its own vocabulary. Most are pieces of words, and no text ever had
# them in this order.

# %%
REAL_PERIOD = 50
real_tokens = repeated_tokens(4, REAL_PERIOD, real.cfg.d_vocab, bos_token(real), seed=0)
real_logits, real_cache = real.run_with_cache(
    real_tokens, names_filter=lambda name: name.endswith("hook_pattern")
)
real_loss = loss_per_token(real_logits, real_tokens)
plot_lines(
    {
        "loss": real_loss.mean(0),
        "even guessing": torch.full((2 * REAL_PERIOD,), float(real.cfg.d_vocab)).log(),
    },
    "The language model on random tokens shown twice",
    x=torch.arange(1, 2 * REAL_PERIOD + 1),
    x_title="position of the token",
    y_title="loss (nats), mean of 4 sequences",
    markers={"second copy begins": REAL_PERIOD + 1},
)

# %% [markdown]
# *What to see:* the cliff again, less sharp than in the small model. Random tokens cost this model more than even guessing would,
# because it expects language.

# %%
real_heads = find_induction_heads(real)
real_patterns = [real_cache["pattern", layer] for layer in range(real.cfg.n_layers)]
real_scores = torch.stack([induction_score(p, REAL_PERIOD).mean(0) for p in real_patterns])
plot_heads(real_scores, "Induction scores of a real language model", unit="induction score")

# %% tags=["nbval-check-output"]
print("Strongest induction head:", head_name(real_heads[0]))
print("Are there any in layer 0 or 1?", any(layer < 2 for layer, _ in real_heads))

# %%
print("Induction heads, strongest first:", ", ".join(map(head_name, real_heads)))

# %% [markdown]
# ### Take them away
#
# The experiment of section 5. The baseline removes, from each of those layers, as many of the heads that
# look *least* like induction heads; a third group are the strongest previous-token heads.

# %%
real_previous = torch.stack([p.diagonal(-1, -2, -1).mean((0, -1)) for p in real_patterns])
real_groups = {
    "induction": real_heads,
    "others": baseline_heads(real_scores, real_heads),
    "previous-token": strongest_heads(real_previous, 3),
}
real_accuracy = {"no head": second_copy_accuracy(real_logits, real_tokens)}
for name, heads in real_groups.items():
    for mode in ("zero", "mean") if name == "induction" else ("mean",):
        ablated = ablate_heads(real, real_tokens, heads, mode)
        real_accuracy[f"{name}, {mode}"] = second_copy_accuracy(ablated, real_tokens)
    print(f"{name:15}", ", ".join(map(head_name, heads)))
plot_bars(
    real_accuracy,
    "Second copies with some heads of the real model removed",
    y_title="share of tokens predicted",
)

# %% [markdown]
# *What to see:* the bars "induction" against the bar "others". The heads you found by their attention alone carry the ability;
# as many others of the same layers do not. The last bar removes the three heads that look most steadily at the
# previous token, as in section 3: the same chain seems to be at work, in a model nobody built for it.

# %% tags=["nbval-check-output"]
lost = real_accuracy["no head"] - real_accuracy["induction, mean"]
lost_others = real_accuracy["no head"] - real_accuracy["others, mean"]
print("The induction heads cost more than twice as much as the others:", lost > 2 * lost_others)

# %% [markdown]
# ## 9. Claims to test
#
# Induction heads are popular, and much is said about them. Here are five claims met in blog posts and lectures.
#
# ### "'The cat sat on the mat. The cat' must continue with 'sat'"

# %%
chapter.predict("cat_sat", choices=[" sat", " was", "something else"])

# %%
cat = trace_induction(real, "The cat sat on the mat. The cat")
print(cat)

# %%
cat_probs = real(real.to_tokens("The cat sat on the mat. The cat"))[0, -1].softmax(-1)
for prob, token in zip(*cat_probs.topk(3), strict=True):
    print(f"{real.to_str_tokens(token[None], prepend_bos=False)[0]!r:8} {prob:.2f}")

# %% [markdown]
# Look at the attention first: do the heads find ` sat`? Some may and others not, since on ordinary text they have other things to
# attend to. Then look at the prediction: however strongly induction votes, everything the model knows about English
# votes too. So this sentence is a weak test, whichever way it comes out. Repeated random tokens leave
# induction as the only voter.
#
# Now a text in which English has no opinion:

# %%
invented = "Zorbel Quandry met Flim Tarnok. Later that day Zorbel Quandry and Flim"
print(trace_induction(real, invented))

# %% [markdown]
# Every head of the model on that text. Move the slider to a layer, press the button under a thumbnail to see
# that head on the tokens, type a text of your own.

# %%
HeadBrowser(
    lambda prompt: read_patterns(real, prompt), invented, start=next(iter(real_heads), (0, 0))
)

# %% [markdown]
# *What to see:* most heads spend most of their attention on the first token, the column at the left edge. An induction
# head has a short bright diagonal in its lower part, where the names come again.

# %% [markdown]
# ### "Induction heads are in layers 3 and 4", "4.3 is one, and 0.5 feeds it"
#
# Both are said about GPT-2 small. Wang et al. (2022) list for that model:

# %%
for role, heads in PUBLISHED["gpt2-small"].items():
    print(f"{role:16}", ", ".join(map(head_name, heads)))

# %% [markdown]
# The layer-4 head of that list, 4.11, is a *previous-token* head. And in the model you have loaded:

# %%
in_3_and_4 = [head for head in real_heads if head[0] in (3, 4)]
print("Induction heads in layers 3 and 4:", ", ".join(map(head_name, in_3_and_4)) or "none")
for head, role, all_scores in (
    ((4, 3), "induction", real_scores),
    ((0, 5), "previous-token", real_previous),
):
    rank = int((all_scores > all_scores[head]).sum()) + 1
    best = strongest_heads(all_scores, 1)[0]
    print(f"{head_name(head)} as {role} head: {all_scores[head]:.2f}, rank {rank} of "
          f"{all_scores.numel()}; the best is {head_name(best)} with {all_scores[best]:.2f}")  # fmt: skip

# %% tags=["nbval-check-output"]
print("Is 4.3 an induction head of this model?", (4, 3) in real_heads)
print("Is 0.5 its strongest previous-token head?", strongest_heads(real_previous, 1)[0] == (0, 5))

# %% [markdown]
# Whoever writes such a sentence copied it from somebody. You measured.
#
# ### "They sit about a third of the way up"

# %%
depths = [layer / (real.cfg.n_layers - 1) for layer, _ in real_heads]
published = [layer / 11 for layer, _ in PUBLISHED["gpt2-small"]["induction"]]
print(f"this model:             from {min(depths):.2f} to {max(depths):.2f} of its depth")
print(f"GPT-2 small (published): from {min(published):.2f} to {max(published):.2f}")

# %% [markdown]
# Where 0 is the first layer and 1 the last. Two models make no law, and chapter 09 asks more of them. But "a third" is not
# what these two say.
#
# ### "Induction heads emerge in layer ..."
#
# *Emerge* has two meanings that this sentence mixes up. *Where* in a finished model the heads are is a question of
# layers (this section). *When* they appear in training is a question of steps (section 6): they emerge at a
# phase change, which Olsson et al. (2022) saw in all their models of more than one layer.
#
# ### "Induction heads are in-context learning"
#
# On repeated random tokens, here is the score for this model:

# %%
real_icl = in_context_learning_score(real_loss, early=10, late=90)
print(f"loss at token 90 minus loss at token 10: {real_icl:.1f} nats")

# %% tags=["nbval-check-output"]
print("Is it below -5 nats?", bool(real_icl < -5))

# %% [markdown]
# That is nearly all induction, because nothing else could help. In ordinary text the same score is far
# smaller: Olsson et al. (2022) report about 0.4 nats across model sizes, most of it formed in the window of the phase change.
# Their six arguments that induction heads are *behind* it are strong for small models; for large ones they call
# them correlational.

# %%
chapter.explain("what_would_convince")

# %%
chapter.progress()

# %% [markdown]
# ## What you measured, what the literature says, where to go on
#
# You found induction heads by what they look at, checked what they write, cut the head that feeds them, and took
# them away with a baseline beside it: in a small model whose data we made, and in one that read a large part of the web.
# You saw them appear within a short stretch of training, and appear in a single layer once its keys knew their
# predecessors.
#
# - Elhage et al. 2021, *A Mathematical Framework for Transformer Circuits*: where the circuit was found.
# - Olsson et al. 2022, *In-context Learning and Induction Heads* (arXiv 2209.11895): phase change, smeared keys, six
#   arguments, and which of them hold for large models.
# - Wang et al. 2022, *Interpretability in the Wild* (arXiv 2211.00593): induction heads as one class in a larger circuit.
#
# **05 Composition** asks how much of the link between your two heads can be read from weights alone, and when such a
# reading misleads. **06 Indirect object identification** finds induction heads at work in a sentence. **09 Open
# questions** takes your detectors to more models.
