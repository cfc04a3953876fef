"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "what_is_moved",
    "(01) A head attends to some position. Which of its matrices decide what it then writes?",
    {
        "W_Q and W_K": "Those decide where it looks.",
        "W_V and W_O": "Their product W_OV reads at the source and writes at the destination.",
        "all four": "Once the pattern is fixed, W_Q and W_K have no more say.",
    },
    answer="W_V and W_O",
)

questions.quiz(
    "what_a_key_knows",
    "(02) You want a head to look at every position that stands after a q. What must a position's "
    "key know?",
    {
        "its own token": "Then the head can find q itself, not the position after it.",
        "the token before it": "The position after q is the one whose predecessor is q.",
        "its position": "Nobody knows beforehand at which positions a q will stand.",
    },
    answer="the token before it",
)

questions.quiz(
    "previous_token_writes",
    "(03) A previous-token head attends from position i to i - 1. What does it put into the "
    "residual stream at position i?",
    {
        "a prediction of token i + 1": "Bigram statistics are the business of the direct path from "
        "embedding to unembedding.",
        "which token stood at i - 1": "Later heads can then find position i by its predecessor.",
        "the number i - 1": "Values carry what the source knows, its token first of all.",
    },
    answer="which token stood at i - 1",
)

questions.prediction(
    "second_copy",
    "63 symbols, drawn at random, then the same again. What will the model's loss be like?",
    {
        "high throughout: random is random": "The first copy is unpredictable. The second is not, "
        "to one who looks back.",
        "low throughout": "Nobody can predict a random token that has not been seen yet.",
        "high in the first copy, low in the second": "Everything in the second copy has been seen "
        "once before.",
    },
    answer="high in the first copy, low in the second",
)

questions.prediction(
    "where_from_second_q",
    "BOS q x b q x b. If one head alone knew what comes after the second q, which earlier position "
    "would it attend to from there?",
    {
        "BOS": "BOS knows nothing about this sequence. Heads rest there when they are idle.",
        "the first q": "A head that looks there has found the match but not the answer: a "
        "duplicate-token head, which you will meet in chapter 06.",
        "the first x": "The token after the earlier q. What it says can be copied as it is.",
        "the first b": "That is one too far: b comes after x.",
    },
    answer="the first x",
)

questions.prediction(
    "which_layer",
    "In which layer of this two-layer model can a head do that?",
    {
        "layer 0": "Keys of layer 0 know their own token and position, and not the token before.",
        "layer 1": "Its keys can know what layer 0 wrote: the token before.",
        "either": "Ask what the keys of layer 0 know. The token before them is not among it.",
    },
    answer="layer 1",
)

questions.prediction(
    "copying_alone",
    "Is a high copying score enough to call a head an induction head?",
    {
        "yes": "The score is about W_OV alone: what is written if something is attended to.",
        "no, it does not say where the head looks": "Half of an induction head is its pattern.",
    },
    answer="no, it does not say where the head looks",
)

questions.prediction(
    "who_carries",
    "Now one head at a time. Whose absence alone will ruin the second copy?",
    {
        "the induction head": "It finds and copies, but only where the head below left word.",
        "the previous-token head below it": "Without it the induction head finds nothing. But "
        "without the induction head nobody reads what it wrote.",
        "each of those two": "The circuit is a chain: either link breaks it.",
        "every head, a little": "You have seen that removing others of the layer costs next to "
        "nothing.",
    },
    answer="each of those two",
)

questions.prediction(
    "one_layer",
    "Two models of one layer are trained on the same data, one of them with smeared keys. Which "
    "will learn to predict second copies well?",
    {
        "neither: it takes two layers": "It took two layers because keys did not know the token "
        "before them. Smearing tells them.",
        "only the one with smeared keys": "Its keys know the token before without a head below.",
        "both": "Without smearing, a key of the first layer knows its own token only.",
    },
    answer="only the one with smeared keys",
)

questions.prediction(
    "who_writes",
    "Eight heads of SmolLM2 look at the token after the earlier copy. How many of them write that "
    "token to the logits directly?",
    {
        "all eight": "Looking at a token and writing it are the work of two different matrices.",
        "most of them": "Five do. The other three are among the strongest lookers.",
        "two or three": "Three do *not*. Five do, and they are not the five that look most.",
        "none: others write": "Heads that look elsewhere do write more, but not alone.",
    },
    answer="most of them",
)

questions.prediction(
    "icl_english",
    "SmolLM2 predicts English better at token 70 than at token 10. How much of that is lost "
    "without its induction heads?",
    {
        "nearly all of it": "That is what the sentence claims; measure it.",
        "about half": "On random tokens shown twice it is most of it. English is another matter.",
        "next to nothing": "On English of this length other things carry it.",
    },
    answer="next to nothing",
)

questions.prediction(
    "cat_sat",
    "'The cat sat on the mat. The cat': what will the language model say next?",
    {
        " sat": "It is what induction votes for, and comes sixth, with a probability of .02.",
        " was": "Everything that the model knows about English votes too, and outvotes "
        "induction here.",
        "something else": "' had' is second, with .17.",
    },
    answer=" was",
)

questions.prediction(
    "how_deep",
    "Where in a language model of many layers will its induction heads be?",
    {
        "in layer 1, as in the small model": "Somebody must come before them: that is all "
        "that the second section's argument says.",
        "in the first third": "There would be time for it, and nothing lies in the first half.",
        "around the middle": "Eight heads, in layers 17, 18, 20 and 23 of 0 to 29: from .59 "
        "to .79 of the way. Five of them lie in layers 17 and 18.",
        "in the last third": "Half right: three of the eight, in layers 20 and 23.",
    },
    answer="around the middle",
)

questions.explanation(
    "why_two_layers",
    "Why must an induction head sit above another head?",
    "Its key has to say which token stood before, and in the first layer a key knows only its own "
    "token and position; another head must have written it there.",
)

questions.explanation(
    "what_would_convince",
    "Somebody tells you that head 4.3 of some model is an induction head. What would you want to "
    "see?",
    "Its attention on repeated random tokens at several periods, what it writes, directly or "
    "through later heads, and that second copies are predicted worse without it than without many "
    "sets of other heads of its layer.",
)
