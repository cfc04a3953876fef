"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "what_is_summed",
    "From chapter 01: what is the residual stream after the last layer?",
    {
        "the output of the last layer": "The last layer adds to what was there. Nothing is ever "
        "replaced.",
        "the embedding plus everything every layer wrote": "A plain sum. That is why it can be "
        "stopped and read in the middle, and taken apart afterwards.",
        "a weighted mean of all layers' outputs": "No weights: layers add.",
    },
    answer="the embedding plus everything every layer wrote",
)

questions.quiz(
    "head_writes",
    "From chapter 04: what does an attention head add to the residual stream at a position?",
    {
        "its pattern times the residual stream": "The values are W_V of the stream, and what they "
        "mix to goes through W_O.",
        "z times W_O": "z is what it gathered, W_O says where to write it. This chapter reads that "
        "write as a prediction.",
        "the token it looks at most": "A head writes a vector; that it is a token's is what a "
        "copying score claims.",
    },
    answer="z times W_O",
)

questions.quiz(
    "score_is_no_cause",
    "From chapter 05: a pair of heads has a high composition score. What follows?",
    {
        "the one feeds the other": "It could. Chapter 05 cut such pairs and nothing happened.",
        "they fit; whether it matters takes an intervention": "The same will be true of lenses: "
        "what can be read is not what is used.",
        "nothing": "A score is a good way to choose what to test.",
    },
    answer="they fit; whether it matters takes an intervention",
)

questions.prediction(
    "when_does_it_know",
    "SmolLM2 continues 'The capital of France is' with ' Paris'. From which layer on will "
    "the lens have that word on top?",
    {
        "in the first third": "Nothing there is about the prompt yet.",
        "in the second third": "Its rank stays in the thousands there.",
        "in the last third": "The capitals that the model knows are settled at state 29.9 of "
        "30 on average; France is an early one. Whether the *model* knows earlier than the "
        "lens shows is section 6's question.",
    },
    answer="in the last third",
)

questions.prediction(
    "what_early_layers_say",
    "What is on top in the first half of the layers, at the last position?",
    {
        "the token that stands there": "That holds for state 0 alone, since embedding and "
        "unembedding are tied. One layer later it is gone.",
        "words of the right kind": "So one would hope. There are none in the first half.",
        "signs and filler, whatever the prompt": "From state 1 to 21 at least: the prompt "
        "hardly matters.",
    },
    answer="signs and filler, whatever the prompt",
)

questions.prediction(
    "sum_of_normed",
    "You norm every write by itself, in place of using the scale of the whole run. The sum "
    "of all contributions is then ...",
    {
        "still the logit": "The norm of a sum is not the sum of norms.",
        "too large": "Every write is blown up to the same length, and there are many.",
        "too small": "Every write is blown up to the same length, and there are many.",
    },
    answer="too large",
)

questions.prediction(
    "swap_state_10",
    "You put in the state after **10** layers, which ends in 'Italy is'. The model says ...",
    {
        " Paris": "The question of the other prompt has not arrived at this position yet: the "
        "country stands two places earlier, and heads above layer 10 will look it up there.",
        " Rome": "For that the state would have to know the country. Up to here it does not.",
        "something else": "The two states differ little here; nothing is broken by the exchange.",
    },
    answer=" Paris",
)

questions.prediction(
    "swap_state_24",
    "You put in the state after **24** layers, in which the lens has a full stop on top. The model "
    "says ...",
    {
        " Paris": "By now the city has been fetched, whatever the lens shows.",
        " Rome": "The city is in this state, and the last layers use it.",
        "something else": "The state fits what the last layers expect; they go on as ever.",
    },
    answer=" Rome",
)

questions.prediction(
    "what_beats_what",
    "Three readers of the state after 5 layers, on a text that none of them has seen. Which comes "
    "nearest to the final prediction?",
    {
        "the lens trained from the identity": "It spends its 60 steps on the way to the offset.",
        "least squares, never trained": "A start that has the offset and the directions at once.",
        "the mean prediction, which reads nothing": "It does beat one of the two others.",
    },
    answer="least squares, never trained",
)

questions.prediction(
    "direct_and_total",
    "An attention layer's direct contribution to the logit difference is negative. If you "
    "take away what it wrote about this prompt, and let later layers answer, the logit "
    "difference ...",
    {
        "rises": "So direct attribution suggests.",
        "falls": "That happens where the direct effect is not the main one.",
        "either": "Both are in the table: without layer 24's write (-2.3) it rises by 3, without "
        "layer 20's (-0.1) it falls by 3.4. Direct attribution sees only what a write does to the "
        "logits itself, not what later layers make of it.",
    },
    answer="either",
)

questions.explanation(
    "why_two_scales",
    "Why is the norm computed anew for a lens, and its scale kept for an attribution?",
    "A lens asks what the model would say if it stopped here, and then the norm would see this "
    "state; an attribution asks how one number that was computed is made up, and there was one "
    "scale, the same for all parts.",
)

questions.explanation(
    "what_a_lens_shows",
    "The tuned lens finds the answer in a layer where the logit lens does not. What has been "
    "shown, and what has not?",
    "That the answer can be had from the state by an affine map; not that later layers use that "
    "map, which an intervention on the state has to show.",
)
