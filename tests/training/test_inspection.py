"""Tests of `inspection`: a trial of a user's own network finds its facts, or refuses it with one line."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from cases import few_by_default
from own_networks import PLAIN, changed, write

from bench.cli import networks, parser
from bench.network import structure_facts
from bench.network.network_file import read
from bench.report.show import format_show
from bench.training import inspection, loop, randomness
from models import ARCHITECTURES

FORWARD = "        return self.scores(x.flatten(1))"
INIT = "        self.scores = nn.Linear(784, 10)"


def forward(body: str, source: str = PLAIN) -> str:
    return changed(FORWARD, f"        {body}", source)


def init(body: str, source: str = PLAIN) -> str:
    return changed(INIT, f"{INIT}\n        {body}", source)


def recipe(text: str) -> str:
    return f"RECIPE = {text}\n{PLAIN}"


REFUSED = {
    "import_is_missing": (
        "import no_such_module\n" + init("no_such_module.x"),
        "it needs the module no_such_module, which is neither installed nor beside its file: install it, or put it",
    ),
    "import_fails": (
        "x = 1 / 0\n" + PLAIN,
        "it fails when it is built (in line 1 of import_fails.py: ZeroDivisionError: division",
    ),
    "import_ends": (
        "raise SystemExit(3)\n" + PLAIN,
        "it ends the program in line 1 of import_ends.py: remove that code",
    ),
    "init_crashes": (
        init("import os; os.abort()"),
        "it ends the process that builds it, by signal 6: remove the code",
    ),
    "init_exits": (init("import os; os._exit(0)"), "it ends the process that builds it, with exit code 0"),
    "no_scores": (forward("return x"), "it gives scores (8, 1, 28, 28) for images (8, 1, 28, 28), not scores (8, 10)"),
    "nine_scores": (
        changed("784, 10", "784, 9"),
        "it gives scores (8, 9) for images (8, 1, 28, 28), not scores (8, 10)",
    ),
    "two_results": (forward("return self.scores(x.flatten(1)), x"), "it gives a tuple, not a tensor of scores (N, 10)"),
    "no_batch": (
        forward("return self.scores(x.flatten(1)).mean(0)"),
        "it gives scores (10,) for images (8, 1, 28, 28), not scores (8, 10)",
    ),
    "asks": (init("input()"), "write the value into the file, because nobody can answer input() in a run"),
    "infinite": (
        forward("return self.scores(x.flatten(1)) / 0"),
        "before any training, it gives scores that are not finite",
    ),
    "raises": (
        forward("raise ValueError('one\\ntwo')"),
        "it fails in evaluation (in line 12 of raises.py: ValueError: one two)",
    ),
    "reads": (
        forward("open('/proc/version'); open('width.txt'); " + FORWARD.strip()),
        "it reads the file width.txt in line 12 of reads.py: write the values into its source",
    ),
    "raises_in_training": (
        forward("assert not self.training; " + FORWARD.strip()),
        "it fails in training (in line 12 of raises_in_training.py: AssertionError",
    ),
    "plain_list": (
        init("self.more = [nn.Linear(10, 10)]", forward("return self.more[0](self.scores(x.flatten(1)))")),
        "it hides 2 parameter tensors (",
    ),
    "plain_tensor": (
        init(
            "self.bias = torch.zeros(10, requires_grad=True)", forward("return self.scores(x.flatten(1)) + self.bias")
        ),
        "it hides 1 parameter tensor ((10,)) from the optimizer: use nn.ModuleList or nn.Parameter",
    ),
    "no_parameters": (changed("nn.Linear(784, 10)", "nn.Identity()"), "it has no parameters to train"),
    "no_gradient": (forward("return self.scores(x.flatten(1)).detach()"), "no gradient reaches its parameters"),
    "counts": (
        init("self.calls = 0", forward("self.calls += 1; " + FORWARD.strip())),
        "its forward pass changes calls, but a saved state does not contain that: use register_buffer",
    ),
    "collects": (
        init("self.seen, self.by_name = [], {}", forward("self.seen.append(x); " + FORWARD.strip())),
        "its forward pass changes seen, but a saved state does not contain that: use register_buffer",
    ),
    "adds_to_a_dictionary": (
        init("self.sums = {'x': 0}", forward("self.sums['x'] += float(x.sum()); " + FORWARD.strip())),
        "its forward pass changes sums, but",
    ),
    "buffer_that_is_not_saved": (
        init(
            "self.register_buffer('mean', torch.zeros(784), persistent=False)",
            forward(
                "x = x.flatten(1)\n        if self.training:\n            self.mean.mul_(0.9).add_(x.mean(0))\n"
                "        return self.scores(x - self.mean)"
            ),
        ),
        "its forward pass changes mean, but a saved state does not contain that",
    ),
    "global": (
        "STEPS = [0]\n"
        + forward("STEPS[0] += self.training; return self.scores(x.flatten(1)) * (1 + (STEPS[0] > 3) * self.training)"),
        "its forward pass changes STEPS, but a saved state does not contain that: use register_buffer",
    ),
    "attribute_of_a_helper": (
        init(
            "self.helper = Helper()",
            forward(
                "self.helper.steps += self.training; return self.scores(x.flatten(1)) * (1 + 0.1 * self.helper.steps)",
                "class Helper:\n    steps = 0\n\n" + PLAIN,
            ),
        ),
        "its forward pass changes helper, but a saved state does not contain that",
    ),
    "counts_without_an_effect_yet": (
        "import itertools\nCALLS = itertools.count()\n"
        + forward("x = x.flatten(1); return self.scores(-x if next(CALLS) > 999 else x)"),
        "its forward pass changes CALLS, but a saved state does not contain that",
    ),
    "counts_on_the_way_back": (
        init(
            "self.steps, self.scores.bias.grads = 0, [0]\n"
            "        self.scores.register_full_backward_hook(lambda m, i, o: m.bias.grads.append(0))"
        ),
        "its forward pass changes scores.bias, but a saved state does not contain that",
    ),
    "kept_where_nobody_looks": (
        init(
            "torch.later = 0",
            forward(
                "torch.later += self.training; "
                "return self.scores(x.flatten(1)) * (1 + 0.1 * torch.later * self.training)"
            ),
        ),
        "a run that continues from a saved state gives other numbers than one without a break: do not keep values",
    ),
    "goes_to_and_fro": (
        changed(
            INIT,
            "        self.a, self.b, self.scores = (nn.Linear(*sizes) for sizes in ((784, 9), (784, 9), (9, 10)))",
            forward(
                "self.a, self.b = (self.b, self.a) if self.training else (self.a, self.b); x = x.flatten(1); "
                "return self.scores(self.a(x) - 2 * self.b(x)).log_softmax(1)"
            ),
        ),
        "a run that continues from a saved state gives other numbers than one without a break",
    ),
    "loads_into_other_tensors": (
        forward(
            "return self.scores(x.flatten(1)).log_softmax(1)\n\n    def load_state_dict(self, state, strict=True):\n"
            "        return super().load_state_dict(state, strict, assign=True)"
        ),
        "a run that continues from a saved state gives other numbers than one without a break",
    ),
    "saves_more_than_tensors": (
        changed(FORWARD, f"{FORWARD}\n\n    def get_extra_state(self):\n        return {{'version': 1}}"),
        "its saved state has _extra_state, not only tensors: use register_buffer",
    ),
    "evaluates_otherwise": (
        changed(FORWARD, f"{FORWARD}\n\n    def eval(self):\n        return self.train()"),
        "it has its own method eval, which is not called: write it into train(self, mode), whose mode is then False",
    ),
    "trains_some_parameters": (
        changed(FORWARD, f"{FORWARD}\n\n    def parameters(self):\n        return iter([self.scores.bias])"),
        "its own method parameters does not give all of its parameters: remove this method, and use requires_grad_(",
    ),
    "trains_groups": (
        changed(FORWARD, f"{FORWARD}\n\n    def parameters(self):\n        return [{{'params': [], 'lr': 0.1}}]"),
        "its own method parameters does not give all of its parameters",
    ),
    "one_image_in_a_batch": (
        'RECIPE = {"batch_size": 59999}\n'
        + init("self.norm = nn.BatchNorm1d(10)", forward("return self.norm(self.scores(x.flatten(1)))")),
        "it fails in a batch of one image, the last of an epoch (in line 14 of one_image",
    ),
    "color": (
        init("self.conv = nn.Conv2d(3, 4, 3)", forward("return self.scores(self.conv(x).flatten(1))")),
        "images here are (N, 1, 28, 28)",
    ),
    "for_larger_images": (changed("784, 10", "1000, 10"), "1000x10)): images here are (N, 1, 28, 28)"),
    "for_flat_images": (
        forward("return self.scores(x)"),
        "it takes images (N, 784), and images here are (N, 1, 28, 28): begin its forward pass with `x = x.flatten(1)`",
    ),
    "keeps_its_first_weights": (
        init(
            "self.signs = []",
            forward(
                "self.signs = self.signs or [self.scores.weight.detach().sign()]\n"
                "        return F.linear(x.flatten(1), self.scores.weight.abs() * self.signs[0])"
            ),
        ),
        "it keeps values that it made in its first pass, but a saved state does not contain them: compute them in",
    ),
    "width_is_missing": (
        "from no_such_module import WIDTH\n" + init("self.more = nn.Linear(784, WIDTH)"),
        "it needs the module no_such_module, which is neither installed nor beside its file: install it, or put it",
    ),
    "lazy_layer_that_is_not_used": (
        init("self.more = nn.LazyLinear(3)"),
        "its forward pass does not use the lazy layer more: remove it",
    ),
    "seeds": (
        changed("super()", "torch.manual_seed(1)\n        super()"),
        "its initial weights are the same for every seed",
    ),
    "draws_from_the_system": (
        init("import numpy; self.scores.weight.data += float(numpy.random.default_rng().random())"),
        "its first weights or scores are not the same each time for the same seed: draw by the global",
    ),
    "seeds_by_the_clock": (
        init("import time; torch.manual_seed(torch.initial_seed() + int(time.time())); self.scores.reset_parameters()"),
        "its first weights or scores are not the same each time for the same seed",
    ),
    "seeds_by_the_process": (
        init("import os; torch.manual_seed(torch.initial_seed() ^ os.getpid()); self.scores.reset_parameters()"),
        "its first weights or scores are not the same each time for the same seed",
    ),
    "keeps_a_draw_from_the_system": (
        init(
            "import secrets; self.scale = 1 + secrets.randbelow(999)",
            forward("return self.scores(x.flatten(1)) / self.scale"),
        ),
        "its first weights or scores are not the same each time for the same seed",
    ),
    "type": (
        changed("class", "torch.set_default_dtype(torch.float64)\n\n\nclass"),
        "its file changes settings of PyTorch (the default type of numbers): remove that code",
    ),
    "near_zero": (
        init("torch.set_flush_denormal(True)"),
        "its file changes settings of PyTorch (whether numbers near zero become zero): remove that code",
    ),
    "hooks_of_all_modules": (
        init("nn.modules.module.register_module_forward_hook(lambda m, i, o: o * 2 if m is self else o)"),
        "its file changes settings of PyTorch (hooks of all modules): remove that code",
    ),
    "another_relu_for_all": (
        init("nn.ReLU.forward = lambda self, x: x.clamp(0, 99)"),
        "its file, or a package that it imports, changes PyTorch itself (ReLU.forward): remove that code",
    ),
    "another_function_for_all": (
        init("F.relu = torch.abs"),
        "its file, or a package that it imports, changes PyTorch itself (torch.nn.functional.relu): remove that code",
    ),
    "settings_in_training": (
        forward("torch.set_num_threads(2); " + FORWARD.strip()),
        "its file changes settings of PyTorch (the number of threads): remove that code",
    ),
    "drops_in_evaluation": (
        forward("return F.dropout(self.scores(x.flatten(1)))"),
        "in evaluation it gives different scores for the same images: turn off dropout, other randomness",
    ),
    "drops_again_on_the_way_back": (
        "from torch.utils.checkpoint import checkpoint\n"
        + init(
            "self.drop = nn.Dropout(0.5)",
            forward("x = self.scores(x.flatten(1)); return checkpoint(self.drop, x, use_reentrant=False)"),
        ),
        "it computes a dropout again in the backward pass, where it has another mask: remove torch.utils.checkpoint",
    ),
    "changes_a_dropout_in_two_places": (
        init(
            "self.drop = nn.Dropout(0.5)\n        self.more = nn.Sequential(self.drop)",
            forward("self.drop.p = 0.1; return self.scores(self.more(x.flatten(1)))"),
        ),
        "it has one dropout in two places, and changes its probability or mode: give each place a dropout of its own",
    ),
    "dropout_of_nothing": (
        recipe('{"dropout": 0.1}'),
        ":1: RECIPE has dropout 0.1, but the network has no nn.Dropout or nn.Dropout2d: remove it",
    ),
    "no_transform": (
        recipe('{"augmentation": "RandomRotate(7)"}'),
        ":1: RECIPE has augmentation 'RandomRotate(7)': torchvision.transforms.v2 has no RandomRotate: write RandomRot",
    ),
    "wrong_transform": (
        recipe('{"augmentation": "RandomRotation(turn=7)"}'),
        ":1: RECIPE has augmentation 'RandomRotation(turn=7)': ",
    ),
    "other_shape": (
        recipe('{"augmentation": "Resize(14)"}'),
        "the augmentation changes the images from (8, 1, 28, 28) to (8, 1, 14, 14)",
    ),
    "no_schedule": (
        "\n" + recipe('{"schedule": "StepLRR(7)"}'),
        ":2: RECIPE has schedule 'StepLRR(7)': torch.optim.lr_scheduler has no StepLRR: write StepLR",
    ),
    "wrong_schedule": (recipe('{"schedule": "StepLR(gamma=0.1)"}'), ":1: RECIPE has schedule 'StepLR(gamma=0.1)': "),
    "plateau": (
        recipe('{"schedule": "ReduceLROnPlateau()"}'),
        "it depends on the loss: choose a schedule that depends on the",
    ),
    "short": (
        recipe('{"schedule": "OneCycleLR(max_lr=1, total_steps=4, cycle_momentum=False)"}'),
        ":1: RECIPE has schedule 'OneCycleLR(",
    ),
    "momentum": (recipe('{"schedule": "OneCycleLR(max_lr=1, total_steps=19)"}'), "it also changes the momentum"),
}


@pytest.fixture(
    scope="module",
    params=[list(REFUSED)[::8], pytest.param(list(REFUSED), marks=pytest.mark.slow)],
    ids=["some of them", "all of them"],
)
def said(request, tmp_path_factory) -> dict[str, str]:
    """The lines of `plan` on a folder of networks that must all be refused, by file."""
    folder = tmp_path_factory.mktemp("refused")
    write(folder, **{name: REFUSED[name][0] for name in request.param})
    command = [sys.executable, "-m", "bench", "plan", "--models", str(folder), "--devices", "cpu"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert all(line.startswith(f"bench: {folder}/") for line in lines), done.stderr
    found = {line.removeprefix(f"bench: {folder}/").partition(".py")[0]: line for line in lines}
    assert set(found) == set(request.param)
    return found


def test_a_network_that_cannot_be_trained_is_refused_with_one_line(said):
    for name, line in said.items():
        assert REFUSED[name][1] in line


@pytest.mark.slow
def test_a_network_that_never_ends_is_refused_after_a_time_limit(tmp_path):
    (path,) = write(tmp_path, net="while True:\n    pass\n" + PLAIN)
    code = "from bench.training.trial import child; child.LIMIT = 1; "
    code += "from bench.training import inspection; inspection.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps([read(path)]), capture_output=True, check=True
    )
    assert b"building and trying it takes more than 1 seconds" in done.stdout


ELSEWHERE = {
    "prints": "print('{' * 100_000)\n" + PLAIN,
    "compiles": init(
        "self.block = torch.compile(nn.Sequential(nn.Flatten(), nn.Dropout(0.1)))",
        forward("return self.scores(self.block(x))"),
    ),
    "scripts": changed(
        "class Net", "@torch.jit.script\ndef swish(x):\n    return x * torch.sigmoid(x)\n\n\nclass Net"
    ).replace("self.scores(x.flatten(1))", "self.scores(swish(x).flatten(1))"),
}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """What the process of inspection finds of some networks."""
    paths = write(tmp_path_factory.mktemp("elsewhere"), **ELSEWHERE)
    return dict(zip(ELSEWHERE, networks.inspect([read(path) for path in paths]), strict=True))


@pytest.mark.slow
def test_the_output_of_a_network_does_no_harm(elsewhere):
    assert elsewhere["prints"].architecture.gives_logits
    assert elsewhere["prints"].unused == ()


@pytest.mark.slow
def test_a_compiled_part_is_trained_as_it_is_written(elsewhere):
    assert [layer.kind for layer in elsewhere["compiles"].structure.layers] == ["Flatten", "Dropout", "Linear"]
    assert elsewhere["compiles"].architecture.uncovered == ()


@pytest.mark.slow
def test_a_scripted_function_computes_the_same_bits_in_every_step(elsewhere):
    assert elsewhere["scripts"].architecture.gives_logits


@pytest.mark.parametrize("name", few_by_default(ARCHITECTURES, ["ten_twenty_thirty"], pytest.mark.slow))
def test_the_documented_networks_pass_with_the_structure_that_is_stored(name):
    found = inspection.inspect(ARCHITECTURES[name])
    assert structure_facts.from_json(found["structure"]) == structure_facts.load()[name]
    assert (found["gives_logits"], found["unused"], found["uncovered"]) == (False, [], ())


def test_scores_are_log_probabilities_only_if_they_are_in_training_and_in_evaluation(tmp_path):
    both = forward("return self.scores(x.flatten(1)).log_softmax(1)")
    probabilities = forward("return self.scores(x.flatten(1)).softmax(1)")
    one = forward("x = self.scores(x.flatten(1))\n        return x if self.training else x.log_softmax(1)")
    zeros = init(
        "self.spare = nn.Linear(3, 3); nn.init.zeros_(self.scores.weight); self.scores.bias.data.fill_(-2.302585)"
    )
    paths = write(tmp_path, a=both, b=probabilities, c=one, d=PLAIN, e=zeros)
    assert [inspection.inspect(read(path))["gives_logits"] for path in paths] == [False, True, True, True, True]


def test_what_keeps_a_network_from_exact_arithmetic_is_a_fact_and_no_refusal(tmp_path):
    gelu = forward("return self.scores(F.gelu(x.flatten(1)))")
    twice = init("self.more = nn.Linear(10, 10)", forward("return self.more(self.more(self.scores(x.flatten(1))))"))
    shared = init(
        "self.a, self.b = nn.Linear(10, 10), nn.Linear(10, 10)\n        self.b.weight = self.a.weight",
        forward("return self.b(self.a(self.scores(x.flatten(1))))"),
    )
    turned = recipe('{"augmentation": "RandomErasing()"}')
    paths = write(tmp_path, a=PLAIN, b=gelu, c=twice, d=shared, e=turned)
    assert [inspection.inspect(read(path))["uncovered"] for path in paths] == [
        (),
        ("gelu",),
        ("a layer with weights or statistics that is used twice (0.more)",),
        ("0.a.weight and 0.b.weight, which share memory",),
        ("an augmentation",),
    ]


ACCEPTED = {
    "keeps_an_activation": forward("self.features = x * 2; return self.scores(self.features.flatten(1))"),
    "keeps_an_activation_beside_dropout": init(
        "self.drop, self.norm, self.kept = nn.Dropout(0.3), nn.BatchNorm1d(784), {}",
        forward("x = self.kept['x'] = self.drop(self.norm(x.flatten(1))); return self.scores(x)"),
    ),
    "keeps_the_size_of_its_batch": forward("self.size = len(x); return self.scores(x.view(self.size, -1))"),
    "counts_in_a_buffer": init(
        "self.register_buffer('steps', torch.zeros(()))",
        forward("self.steps += self.training; return self.scores(x.flatten(1)) * (1 + self.steps)"),
    ),
    "squeezes": init("self.conv = nn.Conv2d(1, 784, 28)", forward("return self.scores(self.conv(x).squeeze())")),
    "views_a_convolution": init(
        "self.conv = nn.Conv2d(1, 4, 15)", forward("return self.scores(self.conv(x).view(-1, 4 * 14 * 14))")
    ),
    "lazy": changed(
        "nn.Linear(784, 10)", "nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(10))"
    ).replace("x.flatten(1)", "x"),
    "half_of_the_precision": init(
        "self.low = nn.Linear(784, 784).bfloat16()",
        forward("return self.scores(self.low(x.flatten(1).bfloat16()).float())"),
    ),
    "keeps_weights_for_evaluation": init(
        "self.kept = None",
        forward(
            "if self.training or self.kept is None: self.kept = self.scores.weight.detach().tanh()\n"
            "        weight = self.scores.weight.tanh() if self.training else self.kept\n"
            "        return F.linear(x.flatten(1), weight)"
        ),
    ),
    "weights_in_a_range": init(
        "self.scale = nn.Parameter(torch.ones(()))",
        forward("assert self.scale > 0; return self.scores(x.flatten(1)) * self.scale"),
    ),
    "changes_its_images": forward("return self.scores(x.sub_(1).flatten(1))"),
    "optional_argument": forward(
        "return self.scores(x.flatten(1) if mask is None else x.flatten(1) * mask)",
        changed("forward(self, x)", "forward(self, x, mask=None)"),
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_network_with_a_harmless_habit_is_accepted(tmp_path, few, name):
    (path,) = write(tmp_path, net=ACCEPTED[name])
    found = inspection.inspect(read(path))
    one = replace(read(path), gives_logits=found["gives_logits"])
    arithmetic = "native" if found["uncovered"] else "exact"
    assert [len(state.history) for state in loop.train(one, 1, "cpu", few, 1, arithmetic=arithmetic)] == [1]


@pytest.fixture(scope="module")
def few(dataset):
    return dataset.head(200, 100)


def test_lazy_layers_are_drawn_from_the_seed(tmp_path):
    one = read(write(tmp_path, net=ACCEPTED["lazy"])[0])
    networks_of_seeds = [randomness.build(one, seed) for seed in (1, 1, 2)]
    first, again, other = (dict(network.named_parameters()) for network in networks_of_seeds)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not any(torch.equal(value, other[name]) for name, value in first.items())
    assert inspection.inspect(one)["uncovered"] == ()


REMARKS = {
    "return self.scores(x.flatten(1))": [],
    "return self.scores(x.flatten(1)).log_softmax(1)": [],
    "return self.scores(x.flatten(1)).softmax(1)": ["the scores are probabilities"],
    "return self.scores(x.flatten(1)).log_softmax(0)": ["the scores of each digit sum to 1 over the images"],
    "return self.scores(x.flatten(1)).softmax(0)": ["the scores of each digit sum to 1 over the images"],
}


@pytest.mark.parametrize("body", REMARKS)
def test_scores_that_are_probably_a_mistake_get_a_remark(tmp_path, body):
    (path,) = write(tmp_path, net=forward(body))
    remarks = inspection.inspect(read(path))["remarks"]
    assert len(remarks) == len(REMARKS[body])
    assert all(one.startswith(said) for one, said in zip(remarks, REMARKS[body], strict=True))


@pytest.mark.slow
def test_show_and_run_say_what_is_probably_a_mistake(tmp_path, capsys, caplog):
    (path,) = write(tmp_path, net=forward("return self.scores(x.flatten(1)).softmax(1)"))
    found = inspection.inspect(read(path))
    lines = format_show(read(path), structure_facts.from_json(found["structure"]), found["unused"], found["remarks"])
    assert "remark      the scores are probabilities, and their log-softmax learns slowly" in "\n".join(lines)
    assert parser.main(["plan", "--models", str(path), "--runs", str(tmp_path / "runs.csv")]) == 0
    assert f"{path}: the scores are probabilities" in caplog.text + capsys.readouterr().err


def test_a_network_that_gives_logits_is_built_with_their_log_softmax(tmp_path):
    one = replace(read(write(tmp_path, net=PLAIN)[0]), gives_logits=True)
    scores = one.build()(torch.rand(3, 1, 28, 28))
    assert torch.allclose(scores.exp().sum(1), torch.ones(3))


def test_parameters_that_no_gradient_reaches_are_named(tmp_path):
    (path,) = write(tmp_path, net=init("self.spare = nn.Linear(3, 3)"))
    found = inspection.inspect(read(path))
    assert found["unused"] == ["spare.weight", "spare.bias"]
    lines = format_show(read(path), structure_facts.from_json(found["structure"]), found["unused"])
    assert "unused      no gradient reaches spare.weight, spare.bias" in lines


@pytest.mark.slow
def test_show_has_layers_shapes_parameters_scores_and_limits(tmp_path, capsys):
    (path,) = write(tmp_path, net='RECIPE = {"epochs": 20}\n' + changed("784, 10", "784, 10, False"))
    assert parser.main(["show", str(path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == f"net: Net in {path}"
    for line in (
        "(flatten)",
        "1 Linear 10 7,840",
        "parameters 7,840",
        "scores logits; the harness applies a log-softmax",
        "claim 9940 of 10,000 within 20 epochs",
        "limit fewer than 20,000 parameters: met, 7,840",
        "limit fewer than 20 epochs: not met, 20",
        "arithmetic exact, with the same bits on every machine",
    ):
        assert line in lines, line
