"""The parts of `measure.py`: each checks bits on a GPU, or measures its speed, and writes what it finds as it goes.

`python tests/gpu/parts.py FOLDER PART [--networks A,B] [--emulated] [--slowly]` runs one. The exit code is 1 if a bit
differs, and `FAULT` plus the place of a network in the list if that network made the driver refuse everything further.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import hashlib
import json
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

FAULT = 10
"""The exit code of a fault in the first network of the list."""

_FLOATS_PER_SECOND = {"H100": 66.9e12, "H200": 66.9e12, "A100": 19.5e12}
"""The FP32 peak of a card, as its maker states it."""


_LONGEST, _ENDING = 170, 30
"""Seconds that the whole job may take, and that it may take to end after that."""


def _one_by_one(device: Any) -> Any:
    """A device that waits after each launch, and records no graphs."""

    def launch(kernels: Any, what: Any, addresses: Any, runs: int) -> None:
        launched(kernels, what, addresses, runs)
        try:
            device.wait()
        except RuntimeError as error:
            raise RuntimeError(f"{error}, in the kernel {what.kernel}: {what} of {runs} runs") from error

    launched, device.launch, device.graph = device.launch, launch, lambda record: record
    return device


class Part:
    """What a part works with: a GPU, the folder, networks, and fewer images where the GPU is emulated.

    A slow one waits after each launch of a kernel, so that an error names the kernel.
    """

    def __init__(self, folder: Path, name: str, networks: Sequence[str], emulated: bool, slowly: bool) -> None:
        from models import ARCHITECTURES

        self.folder, self.name, self.emulated, self.slowly = folder, name, emulated, slowly
        self.networks = {name: ARCHITECTURES[name] for name in networks or ARCHITECTURES}

    def say(self, **result: Any) -> None:
        line = json.dumps({"part": self.name, **result})
        print(line, flush=True)
        with (self.folder / "results.jsonl").open("a") as file:
            file.write(line + "\n")

    def gpu(self) -> Any:
        """The GPU, with a compiler that keeps its modules in the folder for the other parts."""
        from bench import files
        from bench.training import together
        from bench.training.arithmetic.gpu import compiler as compiler_module
        from bench.training.arithmetic.gpu import source
        from bench.training.arithmetic.gpu.runs import GPU

        if self.emulated:
            import emulated_gpu

            made = emulated_gpu.gpu()
            return GPU(_one_by_one(made.device), made.compiler) if self.slowly else made
        real = together.this_gpu()

        def compiler(text: str, architecture: str) -> bytes:
            sources = [architecture, text, *compiler_module.OPTIONS, *source.headers().values()]
            path = self.folder / f"{hashlib.sha256(repr(sources).encode()).hexdigest()[:16]}.cubin"
            if not path.exists():
                files.replace(path, real.compiler(text, architecture))
            return path.read_bytes()

        return GPU(_one_by_one(real.device) if self.slowly else real.device, compiler)

    def of_each_network(self, work: Callable[[str, Any], bool]) -> bool:
        """Whether the work went well with each network. What fails with one is written.

        After an error of the driver, this process can do nothing more with the GPU, so it ends.
        """
        good = True
        for place, (name, architecture) in enumerate(self.networks.items()):
            try:
                good = work(name, architecture) and good
            except Exception as error:
                self.say(network=name, error=repr(error), where=traceback.format_exc(limit=-4))
                if isinstance(error, RuntimeError):
                    raise SystemExit(FAULT + place) from error
                good = False
        return good

    def dataset(self) -> Any:
        from bench.training import data

        whole = data.load(ROOT / "data")
        return whole.head(300, 260) if self.emulated else whole


@contextlib.contextmanager
def timed(result: dict[str, Any], name: str = "seconds") -> Iterator[None]:
    began = time.perf_counter()
    yield
    result[name] = round(time.perf_counter() - began, 6)


def golden(part: Part) -> bool:
    """The golden digests, alone and side by side."""
    from bench.training import exact, golden
    from bench.training.arithmetic.gpu.plan import plan

    gpu = part.gpu()

    def compile_kernels(architecture: Any) -> None:
        network, state = exact.begin(architecture, 1)
        shapes = {name: one.shape for name, one in state.parameters.items()}
        planned = plan(exact.program_of(architecture, network), shapes, state.trainable)
        gpu.compiler(planned.source, gpu.device.architecture)

    result: dict[str, Any] = {}
    with timed(result, "compiled_in"), ThreadPoolExecutor() as pool:
        compiling = [pool.submit(compile_kernels, one) for one in part.networks.values()]
    errors = [repr(one.exception()) for one in compiling if one.exception()]
    part.say(device=gpu.device.name, architecture=gpu.device.architecture, **result, errors=errors)
    differing = []

    def check(name: str, architecture: Any) -> bool:
        alone, other = (golden.digests_on_gpu(architecture, (seed,), gpu)[0] for seed in (1, 3))
        beside = golden.digests_on_gpu(architecture, (1, 2, 3), gpu)
        same = alone == beside[0] == golden.DIGESTS[name] and beside[2] == other
        part.say(network=name, same=same, found=[alone, other, *beside])
        if not same:
            differing.append(name)
        return same

    good = part.of_each_network(check)
    for name in differing:  # only now: it takes the CPU a while
        part.say(network=name, differs_after_a_step=_differing(part.networks[name], gpu))
    return good


def _differing(architecture: Any, gpu: Any) -> list[str]:
    """What differs from the CPU's state after one step of 32 images, and by how much."""
    import numpy

    from bench.training import exact, golden
    from bench.training.arithmetic.gpu.runs import Runs

    pixels, labels = golden._images(32, 0)
    cpu = exact.ExactTrainer(architecture, 1).engine
    losses = [cpu.step(golden._normalised(pixels), labels, 0.9, 0.05)]
    network, state = exact.begin(architecture, 1)
    runs = Runs(gpu, exact.program_of(architecture, network), [state], 32)
    runs.see(pixels, labels, pixels, labels)
    losses += runs.train(numpy.arange(32)[None], 32, 0.9, 0.05).tolist()
    runs.fetch()
    runs.close()
    found = [] if losses[0] == losses[1] else [f"loss: {losses}"]
    for kind in ("buffers", "velocities", "parameters"):
        for name, ours in getattr(cpu.state, kind).items():
            theirs = getattr(state, kind)[name]
            if not numpy.array_equal(ours, theirs):
                apart = numpy.abs(numpy.asarray(ours, float) - theirs)
                found.append(f"{kind} {name}: {int((apart > 0).sum())} of {apart.size}, at most {apart.max():.3g}")
    return found


def epochs(part: Part) -> bool:
    """An epoch of each network against the row of the CPU, for other numbers of seeds, and resumed."""
    from bench.record.environments import EXACT
    from bench.training import loop, together

    gpu, dataset = part.gpu(), part.dataset()
    images = together.images_of(dataset)
    with (ROOT / "runs.csv").open() as file:
        exact = [row for row in csv.DictReader(file) if row["environment"] == EXACT.digest and row["seed"] == "1"]
    rows = {(row["model"], int(row["epoch"])): row for row in exact if row["status"] == "ok"}

    def check(name: str, architecture: Any) -> bool:
        good = True
        seeds_at_once = (1, 5, 100) if name == "ten_twenty_thirty" and not part.emulated else (1, 5)
        firsts = []
        for count in seeds_at_once:
            result: dict[str, Any] = {"network": name, "seeds": count}
            seeds, length = range(1, count + 1), architecture.recipe.epochs
            with timed(result):
                found = next(together.train(architecture, seeds, images, length, (None,) * count, gpu))
            one = found[0]
            assert isinstance(one, loop.State)
            firsts.append(one)
            epoch = one.history[0]
            result |= {"train_seconds": epoch.train_seconds * count, "eval_seconds": epoch.eval_seconds * count}
            ours = epoch.correct, epoch.test_loss, epoch.train_loss
            if part.emulated:
                on_cpu = next(loop.train(architecture, 1, "cpu", dataset, length)).history[0]
                theirs = on_cpu.correct, on_cpu.test_loss, on_cpu.train_loss
            else:
                row = rows[name, 1]
                theirs = int(row["correct"]), float(row["test_loss"]), float(row["train_loss"])
            same = ours == theirs and all(bool((firsts[0].network[k] == one.network[k]).all()) for k in one.network)
            good = good and same
            part.say(**result, same_as_cpu=same, ours=ours, cpu=theirs)
        second = [
            next(together.train(architecture, (1, 2)[: len(starts)], images, length, starts, gpu))[0]
            for starts in ((firsts[0],), (firsts[0], found[1]))
        ]
        states = [dataclasses.astuple(one.history[1])[:5] for one in second]
        same = states[0] == states[1]
        if not part.emulated:
            row = rows[name, 2]
            same = same and states[0][1] == int(row["correct"]) and states[0][4] == float(row["train_loss"])
        part.say(network=name, resumed_same=same)
        return good and same

    return part.of_each_network(check)


def profile(part: Part) -> bool:
    """The seconds of a step of each network, and of each of its kernels alone."""
    import numpy

    from bench.training import exact, together
    from bench.training.arithmetic.gpu.runs import Runs, _clock

    gpu, images = part.gpu(), together.images_of(part.dataset())
    peak = next((value for key, value in _FLOATS_PER_SECOND.items() if key in gpu.device.name), None)

    def measure(name: str, architecture: Any) -> bool:
        batch = architecture.recipe.batch_size
        for seeds in (5, 50) if not part.emulated else (2,):
            begun = [exact.begin(architecture, seed) for seed in range(1, seeds + 1)]
            runs = Runs(gpu, exact.program_of(architecture, begun[0][0]), [state for _, state in begun], batch)
            runs.see(*images)
            steps = 40 if not part.emulated else 2
            order = numpy.tile(numpy.arange(steps * batch) % len(images.train_labels), (seeds, 1))
            runs.train(order, batch, 0.9, 0.01)
            result: dict[str, Any] = {}
            with timed(result):
                runs.train(order, batch, 0.9, 0.01)
            step = result["seconds"] / steps
            operations = 6 * batch * seeds * _products(runs)
            share = operations / step / peak if peak else None
            kernels: dict[str, float] = {}
            runs._put("clock", _clock(0, 0.9, 0.01))
            for launch in runs._plan.step(batch, order.shape[1]):
                if launch.kernel == "tick":
                    continue
                times = 20 if not part.emulated else 1
                several = gpu.device.graph(partial(runs._launch, [launch] * times))
                several()  # a launch by itself takes Python longer than the GPU, so a graph has many
                gpu.device.wait()
                began = time.perf_counter()
                several()
                gpu.device.wait()
                kernels[launch.kernel] = kernels.get(launch.kernel, 0) + (time.perf_counter() - began) / times * 1e6
            slowest = dict(sorted(kernels.items(), key=lambda one: -one[1])[:25])
            part.say(
                network=name,
                seeds=seeds,
                step_microseconds=round(step * 1e6, 1),
                images_per_second=round(batch * seeds / step),
                share_of_peak=share and round(share, 3),
                sum_of_kernels=round(sum(kernels.values()), 1),
                kernels={kernel: round(value, 1) for kernel, value in slowest.items()},
            )
            runs.close()
        return True

    return part.of_each_network(measure)


def _products(runs: Any) -> int:
    """Multiplications of an image forward, in the convolutions."""
    from bench.training.arithmetic.operations import Convolution

    total = 0
    for part in runs._plan.parts:
        if isinstance(part.operation, Convolution):
            rows, columns, outputs = part.after
            total += rows * columns * outputs * part.before[2] * part.operation.size[0] * part.operation.size[1]
    return total


def plain(part: Part) -> bool:
    """Some steps of a plain loop of PyTorch on the same card, as a share of an epoch of each network."""
    import torch
    import torch.nn.functional as F

    device = "cpu" if part.emulated else "cuda"
    dataset = part.dataset().to(device)

    def measure(name: str, architecture: Any) -> bool:
        recipe = architecture.recipe
        torch.manual_seed(1)
        network = architecture.build().to(device).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
        batches = torch.randperm(len(dataset.train_labels)).to(device).split(recipe.batch_size)
        most = 2 if part.emulated else 200
        for timed_part in (False, True):  # first to warm up
            began = time.perf_counter()
            for indices in batches[: most if timed_part else 20]:
                optimizer.zero_grad()
                F.nll_loss(network(dataset.train_images[indices]), dataset.train_labels[indices]).backward()
                optimizer.step()
            if device == "cuda":
                torch.cuda.synchronize()
        seconds = (time.perf_counter() - began) / min(most, len(batches)) * len(batches)
        part.say(network=name, plain_epoch_seconds=round(seconds, 3), pytorch=torch.__version__)
        return True

    return part.of_each_network(measure)


def whole(part: Part) -> bool:
    """All 25 runs by the command line: their seconds, and how many epochs have the bits of the CPU's record."""
    if part.emulated:
        part.say(skipped="the command line finds no GPU")
        return True
    runs = part.folder.absolute() / "runs.csv"
    result: dict[str, Any] = {}
    began = datetime.now(UTC)
    command = [
        "all",
        "--seeds",
        "5",
        "--devices",
        "cuda",
        "--runs",
        str(runs),
        "--report",
        str(runs.with_name("report")),
    ]
    with timed(result):
        done = subprocess.Popen([sys.executable, "-m", "bench", *command], cwd=ROOT)
        try:
            done.wait(_LONGEST)
        except subprocess.TimeoutExpired:  # it keeps every finished epoch
            done.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):  # it writes the report once more
                done.wait(_ENDING)
            done.kill()
            done.wait()
    with (ROOT / "runs.csv").open() as file:
        known = {_key(row): _bits(row) for row in csv.DictReader(file) if row["status"] == "ok"}
    ours = []
    if runs.exists():
        with runs.open() as file:
            ours = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    times = sorted(datetime.fromisoformat(row["recorded_at"]) for row in ours)
    until = [round((one - began).total_seconds()) for one in (times[:1] + times[-1:])]
    compared = [known[_key(row)] == _bits(row) for row in ours if _key(row) in known]
    counts = {"epochs": len(ours), "compared": len(compared), "same": sum(compared)}
    part.say(**result, code=done.returncode, **counts, seconds_until_the_first_and_last_epoch=until)
    return done.returncode == 0 and bool(compared) and all(compared)


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return row["model"], row["recipe"], row["environment"], row["seed"], row["epoch"]


def _bits(row: dict[str, str]) -> tuple[str, ...]:
    return row["correct"], row["total"], row["test_loss"], row["train_loss"]


PARTS: dict[str, Callable[[Part], bool]] = {
    "golden": golden,
    "all": whole,
    "plain": plain,
    "epochs": epochs,
    "profile": profile,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--networks", default="")
    parser.add_argument("--emulated", action="store_true")
    parser.add_argument("--slowly", action="store_true")
    chosen = parser.parse_args()
    networks = list(filter(None, chosen.networks.split(",")))
    part = Part(chosen.folder, chosen.part, networks, chosen.emulated, chosen.slowly)
    try:
        return 0 if PARTS[chosen.part](part) else 1
    except Exception as error:
        part.say(error=repr(error), where=traceback.format_exc(limit=-4))
        return 1


if __name__ == "__main__":
    sys.exit(main())
