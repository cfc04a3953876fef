"""Every chapter on a real language model runs through with other architectures than SmolLM2's.

Learned positions, LayerNorm, biases, no grouped keys (GPT-2); rotation on a part of each head,
attention and MLP side by side (Pythia). Small and random, so what the chapters find in them is
nothing: no cell may crash, and nothing may be said of heads that these models do not have.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kernels import run_notebook

from circuits_course import load_model
from circuits_course.authoring import build
from circuits_course.models.smollm2 import smollm2_folder

pytestmark = pytest.mark.rebuild

CHAPTERS = [
    chapter
    for chapter in build.chapters_with_source()
    if 'load_model("auto")' in build.source_path(chapter).read_text(encoding="utf-8")
]
SIZE = {"vocab_size": 49152, "bos_token_id": 1, "eos_token_id": 2}


def gpt2_shaped():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=48, n_layer=6, n_head=4, n_positions=1024, **SIZE)
    return GPT2LMHeadModel(config)


def pythia_shaped():
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        hidden_size=48, num_hidden_layers=6, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=1024, use_parallel_residual=True, **SIZE,
    )  # fmt: skip
    return GPTNeoXForCausalLM(config)


@pytest.fixture(scope="module", params=[gpt2_shaped, pythia_shaped], ids=lambda make: make.__name__)
def folder(request, tmp_path_factory) -> Path:
    from transformers import AutoTokenizer

    path = tmp_path_factory.mktemp(request.param.__name__)
    torch.manual_seed(0)
    model = request.param()
    with torch.no_grad():  # loud enough that heads differ and patches matter
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed" not in name:
                weight.mul_(6)
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(smollm2_folder()).save_pretrained(path)
    return path


def test_the_models_are_what_they_are_meant_to_be(folder):
    model = load_model(str(folder))
    assert (model.cfg.n_layers, model.cfg.n_heads) == (6, 4)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_runs_through(chapter: str, folder: Path, tmp_path: Path) -> None:
    path = build.notebook_path(chapter, "notebooks")
    run_notebook(path, tmp_path, tmp_path / "home", CIRCUITS_COURSE_MODEL=str(folder))
