"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "what_qk_decides",
    "From chapter 01: a head has two circuits, QK and OV. Which of them decides where it looks?",
    {
        "QK": "Query times key gives the score, and the scores the pattern. OV is about what is "
        "moved from there.",
        "OV": "OV (W_V, then W_O) says what is moved once the head looks somewhere. Where it looks "
        "is up to queries and keys: QK.",
        "both together": "They act one after the other and share no weights: QK makes the pattern, "
        "OV says what is moved.",
    },
    answer="QK",
)

questions.quiz(
    "what_previous_token_writes",
    "From chapter 03: what does a previous-token head add to the residual stream at position i?",
    {
        "a prediction of token i + 1": "Its direct effect on the prediction is small; the direct "
        "path does the bigrams. What it adds at i is about the token at i - 1.",
        "something about the token at i - 1": "It looks one back and moves what stands there. This "
        "chapter asks who reads it.",
        "the position i - 1": "In these models values carry no position vector: what is moved is "
        "about the token.",
    },
    answer="something about the token at i - 1",
)

questions.quiz(
    "why_two_layers",
    "From chapter 04: an induction head at the second `q` of `q x b q` attends to `x`. What must "
    "the key at `x` say?",
    {
        "that x comes next": "The answer is not in the key. The key has to match the query, which "
        "knows that q stands here.",
        "that q stood one before": "The query asks for q, so the key at x has to carry what stood "
        "before x. A head below has to write that first.",
        "that x stands here": "Then a query of x would match it, not a query of q: that would be a "
        "duplicate-token head.",
    },
    answer="that q stood one before",
)

questions.prediction(
    "which_kind",
    "Sixteen pairs of heads, three ways to compose. Where does the previous-token head of layer 0 "
    "stand out against the induction heads of layer 1?",
    {
        "queries": "The query of an induction head is about the token that stands here; it needs "
        "no head below.",
        "keys": "The key has to say what stood one before, and that is what the previous-token "
        "head writes.",
        "values": "What is copied is the token at the key's own position, which the embedding "
        "holds already.",
    },
    answer="keys",
)

questions.prediction(
    "random_heads",
    "Two heads with random weights, 16 dimensions each, in a residual stream of 64. What is their "
    "composition score on average?",
    {
        "0, they have nothing to do with each other": "A random subspace of 16 dimensions is never "
        "exactly orthogonal to another one.",
        "about 0.12": "One over the square root of 64: what a random vector keeps when it is read "
        "along random directions.",
        "about 0.25, since 16 / 64 of the dimensions are shared": "The width of the heads cancels: "
        "it makes the product larger and the norms below the line too.",
    },
    answer="about 0.12",
)

questions.prediction(
    "importance_of_previous",
    "The induction head dies without the previous-token head. How many of the five costliest "
    "paths pass through that head?",
    {
        "most of them": "The paths through it are virtual heads, and those add next to "
        "nothing here. What it does for the induction head it does through the pattern, "
        "which is frozen.",
        "about half": "Some of the five may pass through it, but see what they cost: it "
        "works through the induction head's pattern, and that is frozen.",
        "none, or nearly none": "The expansion takes patterns as given, and the "
        "previous-token head works through one.",
    },
    answer="none, or nearly none",
)

questions.prediction(
    "who_wrote_the_keys",
    "The score of the second `q` for the key at `x` is large. Which part of the key makes it so?",
    {
        "the embedding of x, with its position": "The embedding says that x stands here. The query "
        "asks what stood before.",
        "what the previous-token head wrote there": "It wrote that q stood one before, and that is "
        "what the query asks for.",
        "what all heads of layer 0 wrote, about equally": "Only one of them looks one back.",
    },
    answer="what the previous-token head wrote there",
)

questions.prediction(
    "highest_score",
    "Q 0.0 > 1.2 has the highest score of all, 0.74, six times chance. You cut it. What happens?",
    {
        "nothing, on either kind of data": "That is what it looks like on repeats alone. On the "
        "chain the bigram head needs the switch.",
        "loss rises on repeats": "There the bigram head rests on BOS anyway.",
        "loss rises on the chain": "0.0 tells the bigram head, through its queries, that this is "
        "chain text.",
    },
    answer="loss rises on the chain",
)

questions.prediction(
    "real_model",
    "In SmolLM2, take the head whose cut costs the strongest induction head most. Where does it "
    "rank by K-composition score, among the 160 or so heads below?",
    {
        "first or second": "For all five of the strongest induction heads.",
        "in the upper tenth": "Better: first or second. Its score stands out.",
        "anywhere": "For this source the weights point at the cause. For others they do not: see "
        "the next section.",
    },
    answer="first or second",
)

questions.explanation(
    "frozen_patterns",
    "Why does the path expansion give the previous-token head no credit, although cutting it "
    "destroys induction?",
    "The expansion takes all attention patterns as given, and the previous-token head works "
    "through the pattern of the induction head: it decides where that head looks, which is frozen.",
)

questions.explanation(
    "weights_or_cause",
    "A pair of heads has a high composition score and cutting it changes nothing. Name a reason.",
    "The score knows weights alone: on real inputs the source may write nothing there, or the same "
    "to every key, which the softmax cannot see, or the target may not do anything that matters.",
)
