"""Tests of `statements`, `names`: what a class of a file needs is taken, and what trains or reads is found."""

from __future__ import annotations

import ast

import pytest

from bench.network.source.statements import Statements, extract


def taken(text, *roots):
    """The lines that some names need, without empty ones."""
    tree = ast.parse(text)
    return [line for line in extract(text, tree, Statements(tree).needed(roots)).splitlines() if line.strip()]


def acts(text, *roots):
    """What the rest of a file does, in words."""
    statements = Statements(ast.parse(text))
    return [statements.said(index) for index in statements.acting(statements.needed(roots))]


def test_a_class_needs_its_imports_constants_functions_and_bases_and_nothing_else():
    needed = [
        "import torch.nn as nn",
        "SIZE = 3",
        "WIDTH = 2 * SIZE",
        "def pad(size=SIZE): return size // 2",
        "class Base(nn.Module): pass",
        "class Net(Base):",
        "    def __init__(self, width=WIDTH): self.conv = nn.Conv2d(1, width, SIZE, padding=pad())",
    ]
    others = ["import os", "x = SIZE", "def train(): return Net()", "class Other(Base): x = Net"]
    text = "\n".join(line for pair in zip(needed[:5], [*others, ""], strict=True) for line in pair)
    assert taken(text + "\n" + "\n".join(needed[5:]), "Net") == needed


def test_a_variable_needs_what_builds_it_but_not_what_trains_it():
    building = [
        "import nn",
        "m = nn.Sequential()",
        "for i in (1, 2): m.add_module(str(i), nn.ReLU())",
        "m[0] = nn.Tanh()",
    ]
    training = [
        "m.to('cuda')",
        "m.load_state_dict(x)",
        "def train(): m.train()",
        "train()",
        "for x in data:\n    m.zero_grad()\n    loss(m(x)).backward()",
        "for x in data:\n    optimizer.step()\n    m.append(x)",
        "with open('x') as file: m.append(file)",
    ]
    tree = ast.parse("\n".join([*building, *training]))
    assert Statements(tree).needed(["m"], trained="m") == set(range(len(building)))


def test_every_line_keeps_its_number():
    text = "import os\n\n@os.x\nclass A:\n    pass\n\n\nclass B:\n    pass\n"
    tree = ast.parse(text)
    assert extract(text, tree, Statements(tree).needed(["B"])) == "\n\n\n\n\n\n\nclass B:\n    pass\n"


def test_statements_on_one_line_are_taken_apart():
    text = "a = 'é'; b = 2; c = b; d = [\n1]; e = c\n"
    assert taken(text, "e") == ["pass; b = 2; c = b; pass; e = c"]
    assert ast.parse(extract(text, ast.parse(text), {0}))


def test_a_later_definition_replaces_an_earlier_one_and_what_that_needed():
    text = "old = 1\nclass Net: x = old\nk = 1\nclass Part: x = k\nk = 2\nclass Net: x = Part, k\nk = 3\n"
    assert taken(text, "Net") == ["k = 1", "class Part: x = k", "k = 2", "class Net: x = Part, k"]
    assert taken(text.replace("x = Part, k", "x = lambda: k"), "Net") == ["class Net: x = lambda: k", "k = 3"]


@pytest.mark.parametrize(
    "text",
    [
        "T = {}\nT['a'] = 1\nclass Net: x = T\n",
        "T = []\nT.append(1)\nclass Net: x = T\n",
        "T = 1\nT += 1\nclass Net: x = T\n",
        "T = []\nclass Net: x = T\nfor i in (1, 2): T.append(i)\n",
        "T = []\ndef add(x):\n    T.append(x)\nadd(5)\nclass Net:\n    def f(self): return T\n",
        "T = {}\ndef add(c):\n    T['x'] = c\n    return c\n@add\nclass A: pass\nclass Net: x = T\n",
        "T = {}\ndef add(n):\n    return T.setdefault\n@add('x')\nclass A: pass\ndef Net(): return T, A\n",
        "class Net: pass\nNet.width = 5\n",
        "T = {}\nclass B:\n    def __init_subclass__(c): T[1] = c\nclass A(B): pass\nclass Net: x = T\n",
        "exec('x = 5')\nclass Net: y = x\n",
        "class Net: pass\nsetattr(Net, 'x', 5)\n",
        "class Net: pass\nNet.all = [Net]\nfor one in Net.all:\n    one.width = 5\n",
        "import torch\ntorch.nn.Linear.reset_parameters = print\nclass Net(torch.nn.Module): pass\n",
        "import torch\ntorch.set_default_dtype(torch.float64)\nclass Net(torch.nn.Module): pass\n",
        "if 1:\n    x = 1\nelse:\n    x = 2\nclass Net: y = x\n",
        "x = 1\nif x > 2:\n    x = 2\nclass Net: y = x\n",
        "try:\n    import a\nexcept ImportError:\n    a = None\nclass Net: y = a\n",
        "from a import *\nclass Net(Module): pass\n",
        "from __future__ import annotations\nclass Net: pass\n",
        "a, b = 1, 2\nclass Net: y = [b for i in (1,)]\n",
        "A = 1\ndef get(name): return globals()[name]\nclass Net: x = get('A')\n",
    ],
)
def test_what_makes_or_changes_a_thing_that_the_network_needs_is_taken(text):
    assert taken(text, "Net") == text.splitlines()
    assert acts(text, "Net") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parser.parse_args()", "parser.parse_args(…)"),
        ("args = parser.parse_args()", "args = parser.parse_args(…)"),
        ("def get():\n    return p.parse_args()\nargs = get()", "args = get(…)"),
        ("loader = torch.utils.data.DataLoader(data)", "loader = torch.utils.data.DataLoader(…)"),
        ("data = datasets.MNIST('.', download=True)", "data = datasets.MNIST(…)"),
        ("import torch\ntorch.manual_seed(1)", "torch.manual_seed(…)"),
        ("import torch\n_ = torch.manual_seed(1)", "_ = torch.manual_seed(…)"),
        ("import torch\nstate = torch.load('net.pt')", "state = torch.load(…)"),
        ("mean = np.loadtxt('mean.txt').mean()", "mean = np.loadtxt(…)"),
        ("def train(): pass\nfor e in range(3): x = train()", "a loop"),
        ("while loss > 1:\n    step()", "a loop"),
        ("if cuda:\n    net.train()", "if cuda: …"),
        ("def main(): pass\nmain()", "main(…)"),
        ("import wandb\nwandb.init()", "wandb.init(…)"),
        ("import wandb\nrun = wandb.init()", "run = wandb.init(…)"),
        ("from torch.utils.tensorboard import SummaryWriter\nlog = SummaryWriter()", "log = SummaryWriter(…)"),
        ("import os\nos.system('ls')", "os.system(…)"),
        ("await x()", "await x …"),
    ],
)
def test_a_statement_that_trains_reads_or_asks_is_found(text, said):
    assert acts(text + "\nclass Net: pass\n", "Net") == [said]


@pytest.mark.parametrize(
    "text",
    [
        '"""Text."""',
        "net = Net()\nprint(net)",
        "net = Net()\nnet.eval()\nx = net(1)",
        "import numpy as np\nnp.random.seed(1)\nimport random\nrandom.seed(1)",
        "import warnings\nwarnings.filterwarnings('ignore')",
        "import sys\nsys.path.append('..')",
        "import torch\ndevice = torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "def train():\n    for x in DataLoader(): step()",
        "if __name__ == '__main__':\n    parser.parse_args()\n    train()",
        'if "__main__" == __name__:\n    train()',
    ],
)
def test_a_file_that_only_defines_and_prints_does_nothing_else(text):
    assert acts(text + "\nclass Net: pass\n", "Net") == []
