"""Tests of `candidates`, `choice`, `makers`: the class of a file that is its network, and what a refusal says."""

from __future__ import annotations

import ast

import pytest
import students
from own_networks import HEAD, PLAIN

from bench.errors import UnusableInput
from bench.network.source.candidates import Definitions
from bench.network.source.choice import NoNetwork, choose


def of(text):
    return Definitions(ast.parse(text), lambda _: None)


def module(name, body="pass", base="nn.Module"):
    return f"class {name}({base}):\n    {body}\n\n\n"


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        (students.SEVERAL, ["Net1", "Net2", "Net3"]),
        (students.TABLE, ["TableNet"]),
        (students.FACTORY, ["MyResNet"]),
        (students.BASE, ["WideModel"]),
        (students.LOSS, ["DigitNet"]),
        (students.INSIDE_IF, ["Net"]),
        (students.SCRIPTED, ["Scripted"]),
        ("from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).cuda()", ["model"]),
        ("from torchvision import models as m\nnet = m.resnet18(num_classes=10)\nopt = SGD(net)", ["net"]),
        ("import torch.nn as n\na = n.Sequential()\nb = n.Sequential(a)\nopt = SGD(b.parameters())", ["b"]),
        (students.TORCHVISION_BASE, ["GreyResNet"]),
        (HEAD + "Module = nn.Module\n" + module("Net", base="Module"), ["Net"]),
        ("import timm\n" + module("Net", "def forward(self, x): pass", "timm.Model"), ["Net"]),
        ("import timm\n" + PLAIN + module("Lit", "def forward(self, x): self.net = Net()", "timm.Model"), ["Net"]),
        ("import timm\n" + module("Data", base="timm.Dataset"), []),
        (HEAD + module("Data", "def forward(self, x): pass", "torch.utils.data.Dataset"), []),
        ("import collections\n" + module("Table", "def forward(self, x): pass", "collections.OrderedDict"), []),
        (HEAD + module("Leftover", "def __init__(self, inputs): pass") + module("Net"), ["Net"]),
        (HEAD + module("A", "def f(self): super(A, self)") + module("B", "def f(self): super(B, self)"), ["A", "B"]),
        (HEAD + module("Net", "x = 1") + module("Net", "x = 2"), ["Net"]),
        (HEAD + module("A", base="B") + module("B", base="A"), []),
        (HEAD + module("Method", base="nn.utils.prune.BasePruningMethod") + module("Net"), ["Net"]),
        (HEAD + module("Scale", base="nn.Parameter") + module("Net"), ["Net"]),
        (module("Net", "def forward(self, x): pass", "Forgotten"), ["Net"]),
        (module("Table", "def forward(self, x): pass", "dict"), []),
        ("Pair = tuple_of(2)\n" + module("Table", "def forward(self, x): pass", "Pair"), []),
    ],
)
def test_a_network_is_no_block_no_base_no_loss_and_no_data_set(text, networks):
    assert of(text).networks() == networks


@pytest.mark.parametrize(
    ("text", "member", "chosen"),
    [
        (students.SEVERAL, "Net2", ("Net2", "")),
        (students.SEVERAL, "Net2()", ("Net2", "")),
        (students.FACTORY, "resnet_small()", ("resnet_small", "")),
        (students.FACTORY, "BasicBlock(8)", ("BasicBlock", "8")),
        (students.ARGUMENTS, 'Net(norm="bn",dropout=5e-2)', ("Net", "dropout=0.05, norm='bn'")),
        (students.ARGUMENTS, "Net(dropout=0.050, norm='bn')", ("Net", "dropout=0.05, norm='bn'")),
        (students.ARGUMENTS, "Net('bn', dropout=-1)", ("Net", "'bn', dropout=-1")),
    ],
)
def test_a_class_or_a_function_can_be_named_with_plain_arguments(text, member, chosen):
    assert choose("net.py", of(text), member) == chosen


@pytest.mark.parametrize(
    ("text", "member", "said"),
    [
        (
            students.SEVERAL,
            "",
            (
                "a net.py: defines 3 networks, Net1, Net2 and Net3: name one of them, "
                "for example: python -m bench show 'a net.py::Net3'"
            ),
        ),
        (
            students.ARGUMENTS,
            "",
            (
                "a net.py: Net needs norm and dropout: name it with its arguments, "
                "for example: python -m bench show 'a net.py::Net(norm=\"gn\", dropout=0.1)'"
            ),
        ),
        (
            "args = read()\n" + students.ARGUMENTS.replace('Net(norm="gn", dropout=0.1)', "Net(args)"),
            "Net",
            (
                "a net.py: Net needs norm and dropout: add a function like `def make(): return Net(args)`, and name "
                "it, for example: python -m bench show 'a net.py::make()'"
            ),
        ),
        (
            students.FACTORY,
            "",
            (
                "a net.py: MyResNet needs block and num_blocks: name what is made with them, "
                "for example: python -m bench show 'a net.py::resnet_small()'"
            ),
        ),
        (
            students.SEVERAL,
            "Net4",
            "a net.py: has no class or function Net4: it has Net1, Net2 and Net3",
        ),
        (
            students.FACTORY,
            "Net4(3)",
            "a net.py: has no class or function Net4: it has MyResNet, resnet_small() and resnet_big()",
        ),
        (
            students.SEVERAL,
            "Net1(x)",
            (
                "a net.py::Net1(x): write a class or a function, with plain numbers and quoted text as arguments, "
                "for example: python -m bench show 'a net.py::Net(8, norm=\"bn\")'"
            ),
        ),
        (
            students.SEQUENTIAL,
            "",
            (
                "a net.py: defines no network: it needs one class derived from torch.nn.Module, "
                "or name the function that makes it: python -m bench show 'a net.py::make_net()'"
            ),
        ),
        (
            students.ARGUMENTS.partition("if __name__")[0],
            "",
            (
                "a net.py: Net needs norm and dropout: name it with its arguments, "
                "for example: python -m bench show 'a net.py::Net(norm=…, dropout=…)'"
            ),
        ),
        (
            students.ARGUMENTS.partition("if __name__")[0] + "net = Net(*a).cuda()",
            "",
            (
                "a net.py: Net needs norm and dropout: name what is made with them, "
                "for example: python -m bench show 'a net.py::net'"
            ),
        ),
        (
            students.SEQUENTIAL.replace("width=6", "width"),
            "",
            (
                "a net.py: defines no network: it needs one class derived from torch.nn.Module, "
                "or name the function that makes it: python -m bench show 'a net.py::make_net(width=…)'"
            ),
        ),
        (
            "import torch\ndef main():\n  class Net(torch.nn.Module):\n    def forward(self, x): return abs(x)\n",
            "",
            (
                "a net.py: defines no network: its class Net stands in a function or below "
                '`if __name__ == "__main__"`: move it to the left margin'
            ),
        ),
        (
            "from torch import nn\ndef build():\n  net = nn.Sequential(nn.Flatten()).cpu()\n  return net",
            "",
            (
                "a net.py: defines no network: it needs one class derived from torch.nn.Module, "
                "or name the function that makes it: python -m bench show 'a net.py::build()'"
            ),
        ),
        (
            "from torch import nn\ndef build():\n  class A(nn.Module):\n    x = 1\n  net = A()\n  return net",
            "",
            (
                "a net.py: defines no network: it needs one class derived from torch.nn.Module, "
                "or name the function that makes it: python -m bench show 'a net.py::build()'"
            ),
        ),
        (
            "from torch import nn\ndef run():\n  net = nn.Linear(784, 10)\n  net(x).backward()\n  return net",
            "",
            "a net.py: defines no network: it needs one class derived from torch.nn.Module",
        ),
        (
            HEAD + "def step(net, x):\n  loss = nn.functional.cross_entropy(net(x), x)\n  return loss",
            "",
            "a net.py: defines no network: it needs one class derived from torch.nn.Module",
        ),
        (
            "class Config:\n    width: int\n    names: ClassVar\n\n"
            + HEAD
            + module("Net", "def __init__(self, cfg: 'Config', x): self.a = cfg.width\n    def g(self, x): x.shape"),
            "",
            (
                "a net.py: Net needs cfg and x: add a function like "
                "`def make(): return Net(cfg=Config(width=…), x=…)`, and name it, "
                "for example: python -m bench show 'a net.py::make()'"
            ),
        ),
        (
            "import timm\nnet = timm.create(10)\nloader = timm.data()\noptimizer = SGD(net.parameters())",
            "",
            (
                "a net.py: defines no network: it needs one class derived from torch.nn.Module, "
                "or name the variable that is trained: python -m bench show 'a net.py::net'"
            ),
        ),
        (
            HEAD + module("Net", "def __init__(self, width): self.a = width") + "def main(width): Net(width=width)",
            "",
            (
                "a net.py: Net needs width: name it with its arguments, "
                "for example: python -m bench show 'a net.py::Net(width=…)'"
            ),
        ),
        (
            HEAD + module("Net", "def __init__(self, args): self.a = args.width * args.width, args.depth"),
            "",
            (
                "a net.py: Net needs args: add `from types import SimpleNamespace` and a function like "
                "`def make(): return Net(args=SimpleNamespace(width=…, depth=…))`, and name it, "
                "for example: python -m bench show 'a net.py::make()'"
            ),
        ),
        (
            HEAD + "def make(cfg): return nn.Linear(cfg.inputs, 10)",
            "make",
            (
                "a net.py: make needs cfg: add `from types import SimpleNamespace` and a function like "
                "`def make_network(): return make(cfg=SimpleNamespace(inputs=…))`, and name it, "
                "for example: python -m bench show 'a net.py::make_network()'"
            ),
        ),
        (
            HEAD
            + module("Net", "def __init__(self, cfg): self.cfg = cfg\n    def f(self): self.cfg['a'], self.cfg['b']"),
            "",
            (
                "a net.py: Net needs cfg: name it with its arguments, "
                'for example: python -m bench show \'a net.py::Net(cfg={"a": …, "b": …})\''
            ),
        ),
        (
            "@dataclass\nclass Config:\n    width: int\n    depth: int = 2\n\n"
            + HEAD
            + module("Net", "def __init__(self, cfg: Config): self.a = cfg.width"),
            "",
            (
                "a net.py: Net needs cfg: add a function like `def make(): return Net(cfg=Config(width=…))`, "
                "and name it, for example: python -m bench show 'a net.py::make()'"
            ),
        ),
        (
            HEAD + module("Net", "def __init__(self, block): self.a = block(block.width)"),
            "",
            (
                "a net.py: Net needs block: name it with its arguments, "
                "for example: python -m bench show 'a net.py::Net(block=…)'"
            ),
        ),
        (
            HEAD
            + module("A", "def __init__(self, args): self.a = args.width")
            + module("B", "def __init__(self, args): self.a = args.width"),
            "",
            "a net.py: defines 2 networks, A and B: name one of them, for example: python -m bench show 'a net.py::B'",
        ),
        (
            "def main():\n  def f(x): return abs(x)",
            "",
            "a net.py: defines no network: it needs one class derived from torch.nn.Module",
        ),
        *(
            (text, "", "a net.py: defines no network: it needs one class derived from torch.nn.Module")
            for text in (
                "x = 1",
                "def accuracy(p, t): return (p == t).float().mean()",
                "def run(net, x): return net(x)",
                "import torch.nn.functional as F\ndef loss(p, t): return F.nll_loss(p, t)",
            )
        ),
        ("x = 1", "Net", "a net.py: has no class or function Net: it has no network"),
    ],
)
def test_a_refusal_lists_what_there_is_and_shows_a_line_to_paste(text, member, said):
    with pytest.raises(UnusableInput) as error:
        choose("a net.py", of(text), member)
    assert str(error.value) == said
    assert isinstance(error.value, NoNetwork) == ("defines no network" in said)


def test_classes_that_are_their_own_bases_need_no_arguments():
    found = Definitions(ast.parse("class A(B): pass\nclass B(A): pass"), lambda dotted: None)
    assert found.missing_arguments("A") == ()
