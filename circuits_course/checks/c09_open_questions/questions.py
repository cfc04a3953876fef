"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "what_induction_looks_at",
    "Tokens: BOS a b c a. Where does an induction head look from the second a?",
    {
        "at the first a": "That is a duplicate-token head. Induction looks one further.",
        "at b": "Yes: at the token that came after the earlier a; that is what it will say.",
        "at c": "That is the token before the query: a previous-token head.",
    },
    answer="at b",
)

questions.quiz(
    "mean_or_zero",
    "Why do we ablate a head by its mean rather than by zero?",
    {
        "zero is slower": "Both cost one run.",
        "zero also removes what the head always adds": (
            "Yes. Later layers count on that constant; taking it away breaks more than the head's "
            "reading (chapter 07)."
        ),
        "the mean removes more": "Less: the constant part stays, what depends on the input goes.",
    },
    answer="zero also removes what the head always adds",
)

questions.quiz(
    "score_and_effect",
    "A head has a high induction score. What follows for the model's loss without it?",
    {
        "it rises": "It may. On English, SmolLM2 hardly notices when its best previous-token head "
        "goes; whether the loss rises depends on the text and on who reads the head.",
        "nothing yet": "Right: a score says where a head looks. What it does is a question for an "
        "intervention.",
        "it falls": "Nothing says so; negative heads exist, but a score does not tell.",
    },
    answer="nothing yet",
)

questions.prediction(
    "where_induction_sits",
    "Relative depth 0 is a model's first layer and 1 its last. Where will a real model keep "
    "its strongest induction head?",
    {
        "in the first third": "GPT-2 small's are often said to be there. They are at .45 to .64.",
        "in the middle third": "SmolLM2's strongest induction head, 18.6, is at .62.",
        "in the last third": "It holds weaker ones.",
    },
    answer="in the middle third",
)

questions.prediction(
    "same_seeds",
    "Five models, trained alike but for the seed. What will they share?",
    {
        "the layer and the number of the induction head": "Exchanging two heads of a layer "
        "changes nothing that the model computes, so training picks the number by lot.",
        "the layer of the induction head, not its number": "The number is drawn by lot; the "
        "layer must lie above the head that induction reads.",
        "neither": "In a model of two layers induction has only one place to be: above the "
        "head that it reads.",
    },
    answer="the layer of the induction head, not its number",
)

questions.prediction(
    "jobs_by_context",
    "The strongest previous-token head on random tokens: how will it score on English?",
    {
        "the same": "It has a point: 16.0 still looks one back most of the time.",
        "clearly lower": "16.0 falls from .88 to .76.",
        "clearly higher": "That happens to none.",
    },
    answer="clearly lower",
)

questions.prediction(
    "two_heads_four_jobs",
    "Four jobs at once, two heads. What will training do?",
    {
        "each head takes two jobs": "Two red cells in each column, and no job is given up.",
        "each head takes one job, two jobs are given up": "Every row has its red cell: no "
        "job is given up.",
        "both heads do a bit of every job": "Neither column is red throughout.",
    },
    answer="each head takes two jobs",
)

questions.prediction(
    "spare_heads",
    "Eight jobs asked one at a time, and eight heads. What will training do?",
    {
        "one head for each job": "You had capacity in mind. Training has no reason to spread "
        "what one head can do.",
        "a few heads for all jobs, the others idle": "One head does all eight, since only "
        "one is asked for at a time.",
        "every head does every job": "That would have shown as eight heads in use.",
    },
    answer="a few heads for all jobs, the others idle",
)

questions.prediction(
    "which_family",
    "Equal parameters, equal training, the induction task. Which does worst?",
    {
        "one head of 64 dimensions": "On this task it does as well as eight heads, and sooner. "
        'What it cannot do is "all at once".',
        "8 heads of 8 dimensions": "They are half-way at step 228, later than one head or four, "
        "and end near 0.",
        "32 heads of 2 dimensions": "After four times as many steps they have passed "
        "half-way, and have not arrived.",
    },
    answer="32 heads of 2 dimensions",
)

questions.explanation(
    "what_is_universal",
    "Of algorithm, heads and order of appearance: what did these models share, in one sentence?",
    "The algorithm (a previous-token head that an induction head depends on) in every model looked "
    "at, and which of its two parts begins to appear first; not the heads, whose numbers "
    "change with the seed and whose depth differs from model to model.",
)

questions.explanation(
    "when_heads_share",
    "When did one head carry several jobs, and when did heads divide them?",
    "Jobs asked one at a time can share a head, because its query can depend on what is asked; "
    "jobs asked at the same position need several patterns at once, and a head has only one.",
)

questions.explanation(
    "what_pruning_shows",
    "Many heads could be removed at little cost. Why does that not mean that training did not need "
    "them?",
    "Removing heads from a finished model says what that model uses; whether a smaller model "
    "would have learned the task in the same time is shown only by training one.",
)
