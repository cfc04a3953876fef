"""Weights kept as compatibility mode leaves them: the same model, and one copy for all who load."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from circuits_course import storage
from circuits_course.models import bridges, smollm2
from circuits_course.models.loading import load_model
from circuits_course.storage import damage, file_hash, seal

from .test_models import cache, save_byte_tokenizer  # noqa: F401

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A random model of SmolLM2's shape: tied embeddings, gains that are not one."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("plain")
    size = save_byte_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
        intermediate_size=40, vocab_size=size, max_position_embeddings=64,
        bos_token_id=size - 1, eos_token_id=size - 1, pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.add_(torch.randn(weight.shape) * (0.3 if "norm" in name else 0.05))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folded(plain, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("folded")
    smollm2.fold_anew(plain, folder)
    return folder


def test_every_weight_and_activation_is_the_same_to_the_bit(plain, folded):
    before, after = bridges.bridge_from_folder(plain), bridges.bridge_from_folder(folded)
    weights, others = dict(before.named_parameters()), dict(after.named_parameters())
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert not torch.equal(after.W_E, after.W_U.T)  # the last norm is in the unembedding alone
    tokens = torch.randint(0, 200, (4, 12), generator=torch.Generator().manual_seed(1))
    logits, cached = before.run_with_cache(tokens)
    others, again = after.run_with_cache(tokens)
    assert torch.equal(logits, others)
    assert cached.keys() == again.keys()
    assert all(torch.equal(cached[name], again[name]) for name in cached)


def test_log_probabilities_are_those_of_the_model_that_was_folded(plain, folded):
    from transformers import AutoModelForCausalLM

    tokens = torch.arange(1, 20)[None]
    expected = AutoModelForCausalLM.from_pretrained(plain)(tokens).logits.log_softmax(-1)
    for found in (AutoModelForCausalLM.from_pretrained(folded), load_model(str(folded))):
        logits = found(tokens)
        logits = getattr(logits, "logits", logits)
        torch.testing.assert_close(logits.log_softmax(-1), expected, atol=1e-5, rtol=1e-5)


def mapped_from(path: Path) -> list[range]:
    """Where a file lies in this process's memory."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = (line.split()[0].split("-") for line in lines if line.endswith(str(path)))
    return [range(int(begin, 16), int(end, 16)) for begin, end in spans]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what is mapped")
def test_no_weight_is_copied_from_the_file(folded):
    model = bridges.bridge_from_folder(folded)
    spans = mapped_from((folded / WEIGHTS).resolve())
    copied = [name for name, weight in model.named_parameters()
              if not any(weight.data_ptr() in span for span in spans)]  # fmt: skip
    assert copied == []


def test_a_weight_that_is_changed_is_changed_for_nobody_else(folded):
    before = file_hash(folded / WEIGHTS)
    model = bridges.bridge_from_folder(folded)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert file_hash(folded / WEIGHTS) == before
    assert bridges.bridge_from_folder(folded).W_E.abs().sum() > 0


# -- what an older version of the course kept ---------------------------------------------------


@pytest.fixture
def old(cache, plain) -> Path:  # noqa: F811
    """A cache as an older version left it: the weights for their owner alone, not folded."""
    folder = cache / "models" / smollm2.SMOLLM2
    folder.mkdir(parents=True)
    for path in plain.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / WEIGHTS).chmod(0o600)
    seal(folder)
    return folder


def test_an_old_cache_is_folded_once_and_in_silence(old, capfd):
    model = load_model(smollm2.SMOLLM2)
    kept = old.with_name(smollm2.KEPT)
    assert [path.name for path in old.parent.iterdir() if path.is_dir()] == [smollm2.KEPT]
    assert damage(kept) is None
    assert capfd.readouterr() == ("", "")
    written = (kept / WEIGHTS).stat().st_mtime_ns
    assert torch.equal(load_model(smollm2.SMOLLM2).W_U, model.W_U)
    assert (kept / WEIGHTS).stat().st_mtime_ns == written
    if os.name != "nt":
        assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o644}


@pytest.mark.parametrize("why", ["read-only", "full"])
def test_an_old_cache_that_cannot_be_changed_is_used_as_it_is(old, monkeypatch, capfd, why):
    if why == "read-only":
        monkeypatch.setattr(storage, "_write_problem", lambda folder: "read-only")
    else:
        monkeypatch.setattr(smollm2, "SPACE_NEEDED", 10**18)
    model = load_model(smollm2.SMOLLM2)
    assert [path.name for path in old.parent.iterdir() if path.is_dir()] == [old.name]
    assert capfd.readouterr() == ("", "")
    assert model.ln_final.weight.unique().tolist() == [1.0]


def test_an_old_cache_that_is_damaged_is_not_folded(old, monkeypatch):
    (old / WEIGHTS).write_bytes(b"short")
    fetched = []
    monkeypatch.setattr(
        smollm2,
        "fetch_and_convert",
        lambda folder: (folder / "a").write_text(fetched.append(1) or "a"),
    )
    assert smollm2.smollm2_folder() == old.with_name(smollm2.KEPT)
    assert fetched == [1]
