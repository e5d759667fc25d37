"""Tests of `settings`: whatever a network changes for all code of its process is named."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import optimizer

from bench.errors import UnusableInput
from bench.training.trial.settings import Settings


def test_nothing_changed_something_new_and_another_compile_are_no_problem(monkeypatch):
    settings = Settings()
    monkeypatch.setattr(torch, "something_new", len, raising=False)
    monkeypatch.setattr(torch, "compile", lambda network: network)
    settings.require()


@pytest.mark.parametrize(
    ("place", "name"),
    [(F, "relu"), (torch, "cat"), (Tensor, "view"), (nn.Conv2d, "forward"), (nn, "Linear"), (nn.Module, "train")],
)
def test_a_function_that_is_replaced_is_named(place, name, monkeypatch):
    settings = Settings()
    monkeypatch.setattr(place, name, lambda *arguments: None)
    with pytest.raises(UnusableInput, match=rf"changes PyTorch itself \({place.__name__}\.{name}\): remove that code"):
        settings.require()


def test_hooks_of_all_modules_are_named():
    settings = Settings()
    handle = nn.modules.module.register_module_full_backward_hook(lambda module, before, after: None)
    with pytest.raises(UnusableInput, match="settings of PyTorch \\(hooks of all modules\\)"):
        settings.require()
    handle.remove()
    settings.require()


def test_hooks_of_all_optimizers_are_named():
    settings = Settings()
    handle = optimizer.register_optimizer_step_post_hook(lambda one, arguments, keywords: None)
    with pytest.raises(UnusableInput, match="settings of PyTorch \\(hooks of all optimizers\\)"):
        settings.require()
    handle.remove()
    settings.require()
