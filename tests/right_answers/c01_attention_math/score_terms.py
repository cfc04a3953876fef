"""Right answers to `score_terms`, written in other ways than the reference."""

import torch


def terms_by_queries_and_keys(model, tokens, head):
    words = model.W_E[tokens]
    positions = model.W_pos[: tokens.shape[1]].repeat(len(tokens), 1, 1)
    queries = [part @ model.W_Q[0, head] for part in (words, positions)]
    keys = [part @ model.W_K[0, head] / model.cfg.d_head**0.5 for part in (words, positions)]
    return torch.stack([torch.stack([q @ k.mT for k in keys]) for q in queries])


def terms_by_differences(model, tokens, head):
    """By switching parts off: bilinear, so inclusion and exclusion give each term."""
    words = model.W_E[tokens].double()
    positions = model.W_pos[None, : tokens.shape[1]].double().expand_as(words)
    W_QK = (model.W_Q[0, head] @ model.W_K[0, head].T).double() / model.cfg.d_head**0.5

    def score(query, key):
        return query @ W_QK @ key.mT

    both = words + positions
    word_word, whole = score(words, words), score(both, both)
    word_position = score(words, both) - word_word
    position_word = score(both, words) - word_word
    rest = whole - word_word - word_position - position_word
    return torch.stack([word_word, word_position, position_word, rest]).unflatten(0, (2, 2))


def terms_as_nested_lists(model, tokens, head):
    qk = model.blocks[0].attn.QK[head].AB
    words = model.W_E[tokens]
    positions = (model.W_pos[: tokens.shape[1]] + 0 * words[:, :, :1]).reshape(words.shape)
    rows = []
    for query in (words, positions):
        for key in (words, positions):
            rows.append(torch.einsum("bqm,mn,bkn->bqk", query, qk, key))
    return torch.stack(rows).view(2, 2, *rows[0].shape) / model.cfg.d_head**0.5


RIGHT = [terms_by_queries_and_keys, terms_by_differences, terms_as_nested_lists]
