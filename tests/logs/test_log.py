"""Tests of `log`, `table`, `columns`, `values`, `epochs`: logs in every dialect, and lines about what is unclear."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UnusableInput
from bench.logs.log import Log, read

EXAMPLES = Path(__file__).parent / "examples"

Runs = dict[str, list[int]]
"""The counts of 10,000 by epoch, by run."""


def log(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def runs_of(found: Log) -> Runs:
    return {run.name: list(run.correct) for run in found.runs}


def read_text(folder: Path, text: str | bytes, named: Mapping[str, str] | None = None, total: int | None = None) -> Log:
    return read([log(folder, text)], named or {}, total)


def refused(folder: Path, text: str | bytes, named: Mapping[str, str] | None = None, total: int | None = None) -> str:
    """The message about an unusable log, without the folder."""
    with pytest.raises(UnusableInput) as caught:
        read_text(folder, text, named, total)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


# Round trips

COUNTS = st.lists(st.integers(1000, 10_000), min_size=1, max_size=6)
SHARES, PERCENT, SIGNS = "shares", "per cent", "signs"


@st.composite
def written(draw: st.DrawFn) -> tuple[Runs, bytes]:
    """Runs, and a file of them in some dialect."""
    runs = {str(seed): draw(COUNTS) for seed in draw(st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True))}
    unit, first = draw(st.sampled_from([SHARES, PERCENT, SIGNS])), draw(st.sampled_from([0, 1]))
    mark, float_epochs = draw(st.sampled_from([".", ","])), draw(st.booleans())

    def accuracy(count: int) -> str:
        text = f"{count / 10_000:.4f}" if unit == SHARES else f"{count / 100:.2f}" + (" %" if unit == SIGNS else "")
        return text.replace(".", mark)

    def number(epoch: int) -> str:
        return f"{epoch + first}.0" if float_epochs else str(epoch + first)

    if draw(st.booleans()):
        header = ["seed", "epoch", draw(st.sampled_from(["accuracy", "test_acc", "valAccuracy", "Val/Acc"]))]
        rows = [
            [run, number(epoch), accuracy(one)] for run, several in runs.items() for epoch, one in enumerate(several)
        ]
        rows = draw(st.permutations(rows))
        extra = draw(st.sampled_from([[], ["train_accuracy", "0.1"], ["loss", "7.5"], ["note", "a; b, c|d"]]))
        header, rows = header + extra[:1], [row + extra[1:] for row in rows]
    else:
        word = draw(st.sampled_from(["", "run ", "seed_", "acc_seed", "Fold-"]))
        header = ["epoch", *(word + run for run in runs)]
        longest = max(map(len, runs.values()))
        columns = [[accuracy(one) for one in several] + [""] * (longest - len(several)) for several in runs.values()]
        rows = [[number(epoch), *cells] for epoch, cells in enumerate(zip(*columns, strict=True))]
    header = [draw(st.sampled_from([name, name.upper()])) if "A" not in name else name for name in header]
    return runs, draw(encoded([header, *rows]))


@st.composite
def encoded(draw: st.DrawFn, rows: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=ends).writerows(rows)
    text = draw(st.sampled_from(["", ends, f"sep={delimiter}{ends}", f"# made by a program{ends}"])) + buffer.getvalue()
    if draw(st.booleans()):
        text = text.removesuffix(ends)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])))


@given(case=written())
def test_a_log_in_any_dialect_is_read_as_it_was_meant(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Runs, bytes]
):
    runs, content = case
    found = read([log(tmp_path_factory.getbasetemp(), content, "dialect.csv")], {})
    of = found.total // 10_000
    assert {run.seed: [one // of for one in run.correct] for run in found.runs} == {
        int(name): counts for name, counts in runs.items()
    }
    assert found.total == 10_000
    assert not found.has_images


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_byte_order_mark_says_how_to_read_a_log_in_utf_16(tmp_path: Path, order: str):
    assert runs_of(read_text(tmp_path, "\ufeffrun,epoch,acc\nλ,1,0.97\n".encode(f"utf-16-{order}"))) == {"λ": [9700]}


@given(counts=st.lists(st.integers(0, 60_000), min_size=1, max_size=9), total=st.just(60_000))
def test_accuracies_in_single_precision_are_the_counts_that_they_come_from(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], total: int
):
    import numpy as np

    counts = [*counts, 1]  # 1 of 60,000 has many digits; a column of short ones, such as 0.0625, could be rounded
    rows = [f"{epoch},{float(np.float32(one / total))!r}" for epoch, one in enumerate(counts, start=1)]
    path = log(tmp_path_factory.getbasetemp(), "\n".join(["epoch,acc", *rows, "7000,"]), "single.csv")
    assert runs_of(read([path], {}, total)) == {"single": counts}


# The exports of three programs


def test_the_metrics_of_lightning_are_read_as_they_come():
    found = read([EXAMPLES / "lightning-1.csv", EXAMPLES / "lightning-2.csv"], {})
    assert runs_of(found) == {
        "lightning-1": [6780, 8340, 8960, 9260, 9500, 9580],
        "lightning-2": [6580, 7560, 8160, 8620, 8940, 9140],
    }
    assert [run.seed for run in found.runs] == [1, 2]
    assert found.notes == (
        "the epoch is read from the column 'epoch', the accuracy from 'val_acc'",
        "the epochs count from 0 in the log, so its epoch 0 is epoch 1 here",
    )
    assert runs_of(read([EXAMPLES / "lightning-1.csv"], {}, 500)) == {"lightning-1": [339, 417, 448, 463, 475, 479]}


def test_the_download_of_tensorboard_is_read_as_it_comes():
    found = read([EXAMPLES / "tensorboard-1.csv", EXAMPLES / "tensorboard-2.csv"], {})
    assert [run.correct[:3] for run in found.runs] == [(9425, 9689, 9782), (9448, 9698, 9756)]
    assert {len(run.correct) for run in found.runs} == {8}


def test_the_export_of_weights_and_biases_is_read_as_it_comes():
    found = read([EXAMPLES / "wandb.csv"], {})
    assert runs_of(found) == {
        "fuzzy-lion-7": [9507, 9704, 9786, 9818, 9820, 9849],
        "misty-sun-6": [9518, 9711, 9782, 9802, 9849, 9842],
        "deep-lake-5": [9517, 9729, 9787, 9819],
    }
    assert "every 2 steps are an epoch" in found.notes
    by_epoch = read([EXAMPLES / "wandb-by-epoch.csv"], {})
    assert runs_of(by_epoch)["misty-sun-6"] == [9506, 9715, 9793, 9815, 9840]


def test_a_mean_over_runs_of_weights_and_biases_is_refused(tmp_path: Path):
    text = '"Step","Group: a - acc","Group: a - acc__MIN","Group: a - acc__MAX"\n"1","0.98","0.97","0.99"\n'
    assert refused(tmp_path, text) == (
        "log.csv:2: the accuracy of Group: a is the mean of several values (its MIN and MAX differ): export single "
        "runs, without groups and smoothing"
    )


# Other forms that have one meaning


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        (",loss,accuracy,val_loss,val_accuracy\n0,9,0.91,9,0.97\n1,9,0.92,9,0.98\n", {"log": [9700, 9800]}),  # Keras
        ("epoch,accuracy\n1,0.97\n2,\n2,0.98\n", {"log": [9700, 9800]}),
        ("epoch,accuracy\n1,nan\n1,0.97\n", {"log": [9700]}),
        ("epoch,accuracy\n1,0.97\n1,0.970\n", {"log": [9700]}),
        ("# epoch,accuracy\n1,0.97\n# done\n", {"log": [9700]}),
        ("# epoch acc\n1.0e+00 9.7e-01\n2.0e+00 9.8e-01\n", {"log": [9700, 9800]}),  # numpy.savetxt
        ("# epoch,acc\n1,0.97\n# epoch,acc\n2,0.98\n", {"log": [9700, 9800]}),
        ("# made by a program\n# epoch,acc\n1,9.7e-1\n", {"log": [9700]}),
        ('"# epoch","acc"\n1,0.97\n', {"log": [9700]}),
        ("# made by a program\nstep,infos,acc\n1,2,0.97\n", {"log": [9700]}),
        ("# epoch,acc\n#\n1,NaN\n1,0.97\n", {"log": [9700]}),
        ("run,epoch,acc\n#1,1,0.97\n#2,1,0.98\n", {"#1": [9700], "#2": [9800]}),
        ("epoch,accuracy\n1,0.97\nepoch,accuracy\n2,0.98\n", {"log": [9700, 9800]}),
        ("epoch,accuracy,\n1,0.97,\n2,0.98\n", None),
        ("epoch,accuracy\n1,0.97,\n2,0.98,,\n", {"log": [9700, 9800]}),
        ("epoch,accuracy\n1,0.97\n,\n  \n2,0.98\n", {"log": [9700, 9800]}),
        ("sep=;\nepoch;a,acc\n1;0,97\n", {"log": [9700]}),
        ("epoch;acc, all\n1;97,5\n2;98\n", {"log": [9750, 9800]}),
        ("epoch;acc of all the images\n1;97,5\n# done\n", {"log": [9750]}),
        ("epoch,accuracy (%)\n1,0.5\n2,97.5\n", {"log": [50, 9750]}),
        ("epoch,accuracy\n1,0.5%\n2,0.75%\n", {"log": [50, 75]}),
        ("seed epoch  acc\n   1     1 0.97\n   1    10 0.98\n".replace("10", " 2"), {"1": [9700, 9800]}),
        ("epoch,eval_loss,eval_top1,eval_top5\n0,1,97,99\n", {"log": [9700]}),
        ("Step,half 50% - acc\n0,0.97\n", {"half 50%": [9700]}),
        ("step,acc\n469,0.97\n938,0.98\n", {"log": [9700, 9800]}),
        ("step,acc\n468,0.97\n937,0.98\n", {"log": [9700, 9800]}),
        ("step,acc\n938,0.97\n", {"log": [9700]}),
        ("run,step,acc\na,10,0.97\na,20,0.98\nb,7,0.5\nb,14,0.75\n", {"a": [9700, 9800], "b": [5000, 7500]}),
        ("seed,epoch,acc\n1.0,1.0,0.97\n2.0,1.0,1\n", {"1.0": [9700], "2.0": [10_000]}),
        ("epoch,seed1_acc,seed1_loss,seed2_acc,seed2_loss\n1,0.97,3,0.98,2\n", {"1": [9700], "2": [9800]}),
        ("epoch,acc\n1,1.5\n", {"log": [150]}),
        ("epoch,val_acc_step,val_acc_epoch\n0,0.5,\n0,0.6,\n0,,0.97\n", {"log": [9700]}),
        ("epoch,a - _step,a - score,a - score__MIN,a - score__MAX\n1,469,0.97,0.97,0.97\n", {"a": [9700]}),
        ("epoch,f1\n1,0.97\n", None),
        ("epoch,accuracy_top5,accuracy\n1,1,0.97\n", {"log": [9700]}),
        ("epoch,seed 1 loss,seed 2 loss\n1,0.97,0.98\n", None),
        ("epoch,acc\n1,97\n2,0\n3,100\n", {"log": [9700, 0, 10_000]}),
        ("epoch,accuracy (%)\n1,0.9%\n", {"log": [90]}),
        ("epoch,correct,total\n1,100,100\n", {"log": [100]}),
        ("epoch,acc,correct,total\n1,0.97,97,100\n2,,98,100\n", {"log": [97, 98]}),
        ("epoch,acc,correct,total\n1,0.975,97,100\n", None),
        ("epoch,acc\n1,.97\n2,N/A\n", {"log": [9700]}),
    ],
)
def test_a_form_with_one_meaning_is_read(tmp_path: Path, text: str, runs: Runs | None):
    if runs is None:
        assert refused(tmp_path, text).startswith("log.csv:")
    else:
        assert runs_of(read_text(tmp_path, text)) == runs


def test_columns_can_be_named(tmp_path: Path):
    text = "who,when,top 1,acc\na,1,97.5,0\na,2,98,0\n"
    named = {"run": "who", "epoch": "When", "accuracy": "top 1"}
    assert runs_of(read_text(tmp_path, text, named)) == {"a": [9750, 9800]}


def test_many_columns_are_named_in_part(tmp_path: Path):
    wide = "epoch,{}\n1,{}\n"
    for several, said in (
        (3, "the accuracy from 'seed 1', 'seed 2' and 'seed 3'"),
        (4, "the accuracy from 'seed 1', 'seed 2' and 2 more columns"),
    ):
        names = ",".join(f"seed {seed}" for seed in range(1, several + 1))
        (note,) = read_text(tmp_path, wide.format(names, ",".join(["0.97"] * several))).notes
        assert note == f"the epoch is read from the column 'epoch', {said}"
    for several, said in ((12, "'x11', 'x12': name one"), (14, "'x11', 'x12' and 2 more: name one")):
        names = ",".join(f"x{number}" for number in range(1, several + 1))
        assert said in refused(tmp_path, f"{names}\n")


def test_a_metric_can_be_chosen_in_a_wide_form(tmp_path: Path):
    text = "Step,a - val_acc,a - test_acc,b - val_acc,b - test_acc\n1,0.5,0.6,0.7,0.8\n"
    assert runs_of(read_text(tmp_path, text, {"accuracy": "test_acc"})) == {"a": [6000], "b": [8000]}
    assert refused(tmp_path, text) == (
        "log.csv:1: several columns could be meant, 'a - val_acc', 'a - test_acc', 'b - val_acc' and 'b - test_acc': "
        "choose one with --column accuracy=NAME"
    )


def test_counts_need_a_total_from_the_log_or_from_the_user(tmp_path: Path):
    text = "epoch,correct{}\n1,970{}\n2,980.0{}\n"
    found = read_text(tmp_path, text.format(",total", ",1000", ",1000"))
    assert (runs_of(found), found.total, found.has_images) == ({"log": [970, 980]}, 1000, True)
    assert runs_of(read_text(tmp_path, text.format("", "", ""), total=1000)) == {"log": [970, 980]}
    assert refused(tmp_path, text.format("", "", "")) == (
        "log.csv:2: correct is 970, of an unknown total: give it with --total N"
    )


def test_accuracies_without_a_total_keep_the_decimals_that_they_need(tmp_path: Path):
    found = read_text(tmp_path, "epoch,acc\n1,0.99412\n2,0.5\n")
    assert (runs_of(found), found.total) == ({"log": [99_412, 50_000]}, 100_000)
    found = read_text(tmp_path, "epoch,acc\n1,0.99412345678\n")
    assert (runs_of(found), found.total, found.rounding) == ({"log": [9_941_235]}, 10_000_000, 0)


def test_each_file_without_runs_is_a_run_named_after_what_tells_it_apart(tmp_path: Path):
    one = "epoch,acc\n1,0.97\n"
    names = (["seed3.csv", "seed10.csv"], ["version_0/metrics.csv", "version_1/metrics.csv"], ["b.csv", "a.csv"])
    found = [read([log(tmp_path, one, name) for name in several], {}) for several in names]
    assert [[(run.name, run.seed) for run in one.runs] for one in found] == [
        [("seed3", 3), ("seed10", 10)],
        [("version_0", 0), ("version_1", 1)],
        [("b", 1), ("a", 2)],
    ]


def test_a_file_whose_name_is_no_text_has_a_name_that_can_be_written(tmp_path: Path):
    paths = [log(tmp_path, "epoch,correct\n1,90\n", os.fsdecode(name)) for name in (b"a\xff.csv", b"a\xfe.csv")]
    assert read(paths[:1], {}, 100).name == r"a\xff"
    assert [run.name for run in read(paths, {}, 100).runs] == [r"a\xff", r"a\xfe"]


def test_several_files_can_have_different_units_and_dialects(tmp_path: Path):
    paths = [
        log(tmp_path, "epoch,acc\n1,0.97\n", "run1.csv"),
        log(tmp_path, "EPOCH;Accuracy\n0;97,5 %\n", "run2.csv"),
    ]
    found = read(paths, {})
    assert runs_of(found) == {"run1": [9700], "run2": [9750]}
    assert f"the epochs count from 0 in the log, so its epoch 0 is epoch 1 here, in {paths[1]}" in found.notes


# Refusals, each with its line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "log.csv: is empty: name a CSV file with a header and a row for each epoch"),
        ("#\n# \n", "log.csv: is empty: name a CSV file with a header and a row for each epoch"),
        ("x", "log.csv:1: no column is named epoch or step, only 'x': name one with --column epoch=NAME"),
        ("epoch,acc\n", "log.csv: has a header and no rows: add a row for each epoch"),
        ("# epoch,acc\n", "log.csv: has a header and no rows: add a row for each epoch"),
        ("epoch,acc\n1,\n", "log.csv: has no accuracy in any row: name the column with --column accuracy=NAME"),
        (
            "1,0.97\n2,0.98\n",
            "log.csv:1: there is no header, only numbers: write one above this line, such as epoch,acc",
        ),
        ('{"val_acc": [0.97, 0.98]}', "log.csv: is JSON: write it as CSV, with a header and a row for each epoch"),
        (' [{"val_acc": 0.97}]', "log.csv: is JSON: write it as CSV, with a header and a row for each epoch"),
        (
            "Epoch 1/2\nAccuracy: 97 of 100\n",
            "log.csv:2: 4 cells under a header of 2: write the log as CSV, with a hea",
        ),
        ("PK\x03\x04 and more", "log.csv: is a workbook or an archive: save the sheet as CSV, and name that file"),
        (
            "epoch,acc\n1,0.97\n2,98\n",
            "log.csv:2: accuracy is 0.97, and other epochs of run log are above 1: write all",
        ),
        ("epoch,acc\n1,97\n2,n/a\n3,98\n", "log.csv:4: epoch 3 of run log, but its epoch 2 is missing or has no acc"),
        (
            "time,acc\n1,0.97\n",
            "log.csv:1: no column is named epoch or step, only 'time', 'acc': name one with --column",
        ),
        ("epoch,loss\n1,0.97\n", "log.csv:1: no column is named accuracy or correct, only 'epoch', 'loss'"),
        ("epoch,train_acc\n1,0.97\n", "log.csv:1: no column is named accuracy or correct"),
        (
            "epoch,val_acc,test_acc\n1,1,1\n",
            "log.csv:1: several columns could be meant, 'val_acc' and 'test_acc': choose",
        ),
        ("epoch,acc,acc\n1,1,1\n", "log.csv:1: two columns are named 'acc': rename one of them"),
        (
            "epoch,acc\n1,0.97\n\n2,0.98,7\n",
            "log.csv:4: 3 cells under a header of 2: correct the line; if it has a dec",
        ),
        ("epoch,acc\n1,0,97\n", "log.csv:2: 3 cells under a header of 2"),
        ("epoch;acc of all the images\n" + "1;97,5\n" * 60 + "2;98;5\n", "log.csv:62: 3 cells under a header of 2"),
        (f"epoch,acc\n1,{'9' * 140_000}\n", "log.csv:2: is not CSV (field larger than field limit"),
        ("epoch,acc,note\n1,0.97,ok\n2,0.98\n", "log.csv:3: 2 cells under a header of 3"),
        ("epoch,acc\n1,high\n", "log.csv:2: accuracy is 'high', not a number: correct it, or leave the cell empty"),
        ("sep=,\n# made by a program\n\nepoch,acc\n1,high\n", "log.csv:5: accuracy is 'high', not a number"),
        ("epoch,acc\n1,inf\n", "log.csv:2: accuracy is 'inf', not a number"),
        ("epoch,acc\n1,1e999999999\n", "log.csv:2: accuracy is '1e999999999', not a number"),
        ("epoch,acc\n1,1.234,5\n", "log.csv:2: 3 cells"),
        ("epoch;acc\n1;1.234,5\n", "log.csv:2: accuracy is '1.234,5', not a number"),
        ("epoch,acc\n1,0.9\n2,nan\n", "log.csv:3: the accuracy of epoch 2 of run log is NaN: write 0 if the run had"),
        ("epoch,acc\n1,-0.9\n", "log.csv:2: accuracy is -0.9, not a share or 0 to 100 %: name another column"),
        ("epoch,acc (%)\n1,0.9\n", "log.csv:2: the name of the column says per cent, but no accuracy is above 1"),
        ("epoch,acc\n1,99\n2,994\n", "log.csv:3: accuracy is 994, not a share or 0 to 100 %"),
        ("epoch,acc\n1.5,0.97\n", "log.csv:2: epoch is '1.5', not a whole number: correct it"),
        ("epoch,acc\n-1,0.97\n", "log.csv:2: epoch is '-1', not a whole number"),
        ("epoch,acc\n1e300,0.97\n", "log.csv:2: epoch is '1e300', not a whole number"),
        ("epoch,acc\n,0.97\n", "log.csv:2: epoch is empty: complete the row"),
        ("run,epoch,acc\n,1,0.97\n", "log.csv:2: run is empty: complete the row"),
        (
            "epoch,acc\n1,0.97\n3,0.98\n",
            "log.csv:3: epoch 3 of run log, but its epoch 2 is missing or has no accuracy: add it; a log",
        ),
        ("epoch,acc\n3,0.98\n", "log.csv:2: epoch 3 of run log, but its epoch 1 is missing"),
        ("run,epoch,acc\na,0,1\nb,1,1\n", "log.csv:3: epoch 2 of run b, but its epoch 1 is missing"),
        ("epoch,acc\n1,0.97\n1,0.98\n", "log.csv:3: epoch 1 of run log has another accuracy at log.csv:2: remove one"),
        (
            "run,epoch,acc\na,1,0.9\nb,1,99\n",
            "log.csv:2: run a is never above 1, and other runs are: some may be shares",
        ),
        (
            "run,epoch,acc\na,1,1\nb,1,99\n",
            "log.csv:2: run a is never above 1, and other runs are: some may be shares",
        ),
        ("epoch,acc\n1,97\n2,1\n", "log.csv:3: accuracy is 1, and other epochs of run log are above 1: write all"),
        ("epoch,acc (%)\n1,1\n", "log.csv:2: the name of the column says per cent, but no accuracy is above 1"),
        ("epoch,acc (%),correct\n1,,5\n", "log.csv:2: correct is 5, of an unknown total"),
        ("epoch,acc\n1%,0.97\n", "log.csv:2: epoch is '1%', not a whole number"),
        ("# epoch,acc\n1,-Infinity\n", "log.csv:2: accuracy is '-Infinity', not a number"),
        ("epoch,acc\nnan,0.97\n", "log.csv:2: epoch is 'nan', not a whole number"),
        (
            "step,acc\n0,0.1\n469,0.97\n",
            "log.csv:2: run log has step 0, then one every 469: it may be from before the tr",
        ),
        (
            "step,acc\n469,0.1\n938,0.9\n1400,0.9\n",
            "log.csv:3: step 938 of run log is not a multiple of 462 after step 469",
        ),
        ("epoch,correct,total\n1,97,0\n", "log.csv:2: total is 0: correct it"),
        ("epoch,correct,total\n1,97,90\n", "log.csv:2: correct is 97, more than the total of 90: correct one of them"),
        ("epoch,correct,total\n1,97,100\n2,97,90\n", "log.csv:3: total is 90, but 100 in log.csv:2: judge runs on one"),
        (
            "epoch,acc,correct,total\n1,0.5,97,100\n",
            "log.csv:2: accuracy is 50 %, but correct is 97 of 100: choose one",
        ),
        (b"epoch,acc\n1,\xff\n", "log.csv:2: is neither UTF-8 nor UTF-16: save the file as UTF-8"),
        (b"epoch,acc\n1,0.97\n" + b"x\0" * 3, "log.csv: is not text: name a CSV file"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else re.sub(r"\W+", " ", value)[:60],
)
def test_what_has_no_one_meaning_is_refused_with_its_line(tmp_path: Path, text: str | bytes, message: str):
    said = refused(tmp_path, text)
    assert said.startswith(message), said


@pytest.mark.parametrize(
    ("accuracies", "total", "message"),
    [
        (
            "0.99412",
            1000,
            "log.csv:2: accuracy 99.412 % is 994.12 of 1,000, no whole number: correct the total, or leave",
        ),
        ("0.9940003", 10_000, "log.csv:2: accuracy 99.40003 % is 9940.003 of 10,000, no whole number: correct"),
        ("0.994", 10_000, "log.csv:2: accuracy 99.4 % may be any of 9,935 to 9,945 of 10,000: give more decimals, or"),
        ("99.41 %", 60_000, "log.csv:2: accuracy 99.41 % may be any of 59,643 to 59,649 of 60,000"),
    ],
)
def test_an_accuracy_that_is_no_count_of_the_total_is_refused(
    tmp_path: Path, accuracies: str, total: int, message: str
):
    assert refused(tmp_path, f"epoch,acc\n1,{accuracies}\n", total=total).startswith(message)


def test_an_accuracy_with_few_decimals_is_exact_beside_others_with_enough(tmp_path: Path):
    assert runs_of(read_text(tmp_path, "epoch,acc\n1,0.99\n2,0.9941\n", total=10_000)) == {"log": [9900, 9941]}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            {"epoch": "iteration"},
            "log.csv:1: no column is named 'iteration' (--column epoch=iteration): the columns are",
        ),
        ({"accuracy": "loss"}, "log.csv:2: accuracy is 230, not a share or 0 to 100 %"),
    ],
)
def test_a_column_that_is_named_must_be_there_and_fit(tmp_path: Path, named: dict[str, str], message: str):
    assert refused(tmp_path, "epoch,acc,loss\n1,0.97,230\n", named).startswith(message)


def test_a_file_that_is_missing_twice_a_folder_or_a_device_is_refused(tmp_path: Path):
    path = log(tmp_path, "epoch,acc\n1,0.97\n")
    for paths, problem in (
        ([tmp_path / "no.csv"], "no.csv: cannot be read (No such file or directory): name a CSV file"),
        ([tmp_path], ": cannot be read (Is a directory)"),
        ([Path(os.devnull)], f"{os.devnull}: is a device: name a CSV file"),
        ([path, path], "log.csv: is named twice: name each log once"),
    ):
        with pytest.raises(UnusableInput, match=re.escape(problem)):
            read(paths, {})


def test_epoch_0_may_be_from_before_the_training_if_it_makes_one_epoch_too_many(tmp_path: Path):
    path = log(tmp_path, "epoch,acc\n0,0.1\n1,0.97\n2,0.98\n")
    assert len(read([path], {}, budget=3).runs[0].correct) == 3
    with pytest.raises(
        UnusableInput,
        match=r"log.csv:2: epochs 0 to 2 are 3 epochs, not 2: remove the rows of epoch 0 .*, or give --epochs 3$",
    ):
        read([path], {}, budget=2)
