"""Right answers to `compare_profiles`, written in other ways than the reference."""

import numpy as np


def compare_by_loops(profiles, at_least):
    answer = {}
    for behaviour in {name for profile in profiles.values() for name in profile}:
        answer[behaviour] = {}
        for model, profile in profiles.items():
            if behaviour not in profile or not (profile[behaviour] >= at_least).any():
                continue
            per_layer = profile[behaviour].max(dim=1).values
            layer = int(per_layer.argmax())
            last = len(per_layer) - 1
            answer[behaviour][model] = (layer / last if last else 0.0, float(per_layer[layer]))
    return {behaviour: places for behaviour, places in answer.items() if places}


def compare_by_unravel(profiles, at_least):
    answer = {}
    for model, profile in profiles.items():
        for behaviour, scores in profile.items():
            layer, head = np.unravel_index(scores.numpy().argmax(), scores.shape)
            if scores[layer, head] < at_least:
                continue
            depth = np.linspace(0, 1, len(scores))[layer]
            answer.setdefault(behaviour, {})[model] = [depth, scores[layer, head]]
    return answer


RIGHT = [compare_by_loops, compare_by_unravel]
