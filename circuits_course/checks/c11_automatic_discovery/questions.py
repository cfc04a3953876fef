"""The questions of the chapter: predictions, retrieval, sentences to write."""

from __future__ import annotations

from circuits_course.checks.questions import Questions

questions = Questions()

questions.quiz(
    "three_ways_in",
    "From chapter 05: one head feeds another. In how many ways can the second one use what the "
    "first one wrote?",
    {
        "in one: it reads the residual stream": "It reads it three times, with three matrices.",
        "in three: for its queries, its keys, its values": "Where it looks from, what it is found "
        "by, and what it moves. A graph of a model has to keep the three apart.",
        "in as many as there are positions": "Position by position, but each time through one of "
        "three matrices.",
    },
    answer="in three: for its queries, its keys, its values",
)

questions.quiz(
    "what_an_estimate_misses",
    "From chapter 07: attribution patching gave a head next to nothing, and patching it brought "
    "the whole answer back. Why?",
    {
        "a softmax was decided: a small step changes nothing": "The gradient is the slope at one "
        "end of the way, and the way is not straight.",
        "the head has a backup": "Then patching it would change nothing either.",
        "the metric was the wrong one": "Both were measured by the same metric.",
    },
    answer="a softmax was decided: a small step changes nothing",
)

questions.quiz(
    "what_single_cuts_miss",
    "From chapter 10: ablating any one head of a model costs nothing, ablating all costs "
    "everything. What is there?",
    {
        "heads that stand in for each other": "Whoever tries parts one at a time is shown nothing.",
        "nothing: the heads do not matter": "All together they cost everything.",
        "a head that was measured on the wrong prompts": "Possible, but the loss of all together "
        "was measured on the same ones.",
    },
    answer="heads that stand in for each other",
)

questions.prediction(
    "how_many_edges",
    "A model has two layers of four heads and no MLP. How many edges has its graph, queries, keys "
    "and values apart?",
    {
        "about 20": "That is the number of pairs of heads, 16, and a few more. Every head has "
        "three inputs, and embedding and logits take part.",
        "about 80": "Layer 0: 12 inputs hear the embedding. Layer 1: 12 inputs hear 5 senders "
        "each. The logits hear 9: 81 together.",
        "about 1,000": "Layer 0 has 12 inputs with one sender, layer 1 has 12 with five each, the "
        "logits 9.",
    },
    answer="about 80",
)

questions.prediction(
    "backup_under_acdc",
    "In iolite head 0.1 does the work, and 2.1 waits to take over if 0.1 falls silent. ACDC goes "
    "from the logits back. Of the three planted edges, which does it leave?",
    {
        "all three": "That takes two changes at a time: the edge from 2.1 matters only where 0.1 "
        "is silent, and ACDC changes one edge at a time.",
        "the one from 0.1 to the logits": "2.1 is quiet, so its edge can be cut without a loss; "
        "then there is nobody to be kept quiet, and the edge into its queries goes, too.",
        "the one from 2.1 to the logits": "2.1 would have to speak already when its edge is tried. "
        "It speaks only after 0.1 has been cut.",
    },
    answer="the one from 0.1 to the logits",
)

questions.prediction(
    "estimate_of_the_keys",
    "Cutting the edge from the previous-token head to the keys of the induction head costs 13 "
    "logits of 17. What does EAP, one gradient in the clean run, say of it on the typical prompt?",
    {
        "about 13": "It would, if the metric were a straight line in what the keys read.",
        "a quarter of it or less": "The induction head has made up its mind. A small step does not "
        "change where it looks, and the gradient knows of small steps only. The median is 6 %, and "
        "lay between 2 and 22 % on eleven other draws of 32 prompts.",
        "several times as much": "On some prompts, in either direction: where two places are about "
        "equal a small step is worth a lot. On the typical one the head is decided.",
    },
    answer="a quarter of it or less",
)

questions.prediction(
    "overlap_or_faithful",
    "Circuit A has one of three planted edges of its model. Circuit B has three of four planted "
    "edges of another. Which one brings back more of its model's metric?",
    {
        "A": "The two missing edges only serve a backup that is not needed. B lacks the one "
        "through which everything is said.",
        "B": "By number of edges it has more. But the one that is missing is the link to the "
        "logits, and a chain of which one link is missing carries nothing.",
        "both about the same": "Neither number follows from the other.",
    },
    answer="A",
)

questions.explanation(
    "why_two_scores",
    "Somebody reports that their method finds 75 % of a known circuit's edges. What would you ask "
    "before you believe that the circuit found does what the model does?",
    "How faithful it is: run it alone, with all other edges corrupted. A single missing edge in a "
    "chain stops everything, and an edge that is missing because it only stands in for another "
    "costs nothing.",
)

questions.explanation(
    "which_method",
    "A newcomer has a model of thirty layers and an afternoon. Which method would you hand them, "
    "and what would you tell them to distrust?",
    "EAP-IG to rank all edges, then exact patching of the strongest few hundred and of those that "
    "theory suggests; distrust zeros where attention is decided, and whatever has a backup or is "
    "the same on both prompts.",
)
