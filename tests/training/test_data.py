"""Tests of `data`: MNIST becomes tensors, and a file that is missing or not the published one is refused."""

from __future__ import annotations

import gzip
import http.client
import io
import shutil
import subprocess
import sys
import tempfile
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.errors import UnusableInput
from bench.network.vision import import_torchvision
from bench.training import data
from bench.training.data import Dataset

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"
NAMES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def raw(folder: Path) -> Path:
    return folder / "MNIST" / "raw"


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def copy(tmp_path: Path, root: Path) -> Path:
    """A folder with the four files, which may be altered."""
    folder = tmp_path / "a copy für MNIST"
    raw(folder).mkdir(parents=True)
    for name in NAMES:
        shutil.copy(raw(root / "data") / name, raw(folder))
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes every download fail, and lists the addresses that were asked for."""
    asked: list[str] = []

    def refused(request: Any, *_: Any, **__: Any) -> None:
        asked.append(request.full_url)
        raise urllib.error.URLError("Name or service\nnot known")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    return asked


class Response(io.BytesIO):
    """The answer to opening an address."""

    def __init__(self, url: str, content: bytes) -> None:
        super().__init__(content)
        self.url = url
        self.length = len(content)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, root: Path) -> dict[str, bytes]:
    """Serves the published files by name. A test may replace their content."""
    served = {name: (raw(root / "data") / name).read_bytes() for name in NAMES}

    def opened(request: Any, *_: Any, **__: Any) -> Response:
        print("Downloading", request.full_url)  # earlier versions of torchvision print this
        return Response(request.full_url, served[request.full_url.rpartition("/")[2]])

    monkeypatch.setattr("urllib.request.urlopen", opened)
    return served


# The tensors


def test_the_images_are_normalised_floats_and_the_labels_integers(dataset: Dataset):
    for images, labels, count in (
        (dataset.train_images, dataset.train_labels, 60_000),
        (dataset.test_images, dataset.test_labels, 10_000),
    ):
        assert (images.shape, images.dtype, images.is_contiguous()) == ((count, 1, 28, 28), torch.float32, True)
        assert (labels.shape, labels.dtype) == ((count,), torch.int64)
    assert abs(float(dataset.train_images.double().mean())) < 1e-3
    assert abs(float(dataset.train_images.double().std()) - 1) < 1e-3


def test_there_are_as_many_of_each_digit_as_were_published(dataset: Dataset):
    assert dataset.train_labels.bincount().tolist() == TRAIN_COUNTS
    assert dataset.test_labels.bincount().tolist() == TEST_COUNTS


def test_the_bits_are_those_of_the_transforms_of_the_documents(dataset: Dataset, root: Path):
    torchvision = import_torchvision()
    transforms = torchvision.transforms
    normalise = transforms.Normalize((0.1307,), (0.3081,))
    to_tensor = transforms.ToTensor()

    def pixels(name: str, number: int) -> Tensor:
        with gzip.open(raw(root / "data") / name) as file:
            values = torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8)
        return values.reshape(number, 28, 28)

    train, test = pixels(NAMES[0], 60_000), pixels(NAMES[2], 10_000)
    for number in (0, 1, 29_999, 59_999):
        assert torch.equal(normalise(to_tensor(train[number].numpy())), dataset.train_images[number])
    assert torch.equal(normalise(to_tensor(test.numpy().transpose(1, 2, 0))).unsqueeze(1), dataset.test_images)


def test_the_values_are_those_that_torchvision_reads(dataset: Dataset, copy: Path):
    for train, images, labels in (
        (True, dataset.train_images, dataset.train_labels),
        (False, dataset.test_images, dataset.test_labels),
    ):
        read = import_torchvision().datasets.MNIST(copy, train=train, download=True)
        pixels = (images * data.STANDARD_DEVIATION + data.MEAN) * 255
        assert torch.equal(pixels.round().to(torch.uint8).squeeze(1), read.data)
        assert torch.equal(labels, read.targets)


def test_the_checksums_are_those_of_torchvision():
    assert list(data.MD5.items()) == import_torchvision().datasets.MNIST.resources


def test_torchvision_is_not_imported_if_the_files_are_there(root: Path):
    load = "import sys; from pathlib import Path; from bench.training import data; data.load(Path('data'))"
    code = f"{load}; print('torchvision' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_the_first_labels_are_those_of_the_files(dataset: Dataset):
    assert dataset.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_head_of_a_dataset_is_its_first_images(dataset: Dataset):
    head = dataset.head(7, 3)
    assert torch.equal(head.train_images, dataset.train_images[:7])
    assert torch.equal(head.train_labels, dataset.train_labels[:7])
    assert torch.equal(head.test_images, dataset.test_images[:3])
    assert torch.equal(head.test_labels, dataset.test_labels[:3])


def test_a_dataset_goes_to_a_device_whole(dataset: Dataset):
    moved = dataset.head(2, 2).to("meta")
    assert {tensor.device.type for tensor in (moved.train_images, moved.train_labels)} == {"meta"}
    assert {tensor.device.type for tensor in (moved.test_images, moved.test_labels)} == {"meta"}
    assert torch.equal(dataset.head(2, 2).to("cpu").test_images, dataset.test_images[:2])


# The files


def test_reading_leaves_nothing_behind(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = content(copy)
    loaded = data.load(copy)
    assert loaded.train_labels.bincount().tolist() == TRAIN_COUNTS
    assert content(copy) == before
    assert list(temporary.iterdir()) == []
    assert offline == []


def test_a_checkout_that_cannot_be_written_is_read(copy: Path, offline: list[str]):
    folders = [copy, copy / "MNIST", raw(copy)]
    for folder in folders:
        folder.chmod(0o555)
    before = [folder.stat().st_mtime_ns for folder in folders]
    data.load(copy)
    # Permissions do not stop the superuser. But a file made even for a moment changes the time of its folder.
    assert [folder.stat().st_mtime_ns for folder in folders] == before
    for folder in folders:
        folder.chmod(0o755)


def test_a_relative_folder_will_do(copy: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(copy.parent)
    data.load(Path(copy.name))


def test_unpacked_files_beside_the_archives_are_ignored(copy: Path):
    for name in NAMES:
        (raw(copy) / name.removesuffix(".gz")).write_bytes(b"\0" * 16)
    assert data.load(copy).test_labels.bincount().tolist() == TEST_COUNTS


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def alter(path: Path) -> None:
    altered = bytearray(path.read_bytes())
    altered[len(altered) // 2] ^= 1
    path.write_bytes(altered)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [truncate, alter, lambda path: path.write_bytes(b"")])
def test_a_file_that_is_not_the_published_one_is_named(
    copy: Path, offline: list[str], name: str, damage: Callable[[Path], None]
):
    path = raw(copy) / name
    damage(path)
    before = content(copy)
    with pytest.raises(UnusableInput) as caught:
        data.ensure(copy)
    message = str(caught.value)
    assert message.startswith(f"{path}: this is not the published file (MD5 ")
    assert message.endswith("): delete it to download it again")
    assert "\n" not in message
    assert content(copy) == before
    assert offline == []


@pytest.mark.parametrize("page", ["<!DOCTYPE html>\n<html>sign in</html>", "\n  <html><body>404</body></html>"])
def test_a_page_in_place_of_a_file_is_recognised(copy: Path, page: str):
    path = raw(copy) / TEST_LABELS
    path.write_text(page)
    with pytest.raises(UnusableInput, match=r"this is not the published file \(an HTML page\): delete it") as caught:
        data.load(copy)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", [NAMES[0], TEST_LABELS])
def test_a_missing_file_alone_is_downloaded(
    copy: Path, mirror: dict[str, bytes], name: str, capsys: pytest.CaptureFixture
):
    published = content(copy)
    others = {one: (raw(copy) / one).stat().st_ino for one in NAMES if one != name}
    (raw(copy) / name).unlink()
    data.ensure(copy)
    assert content(copy) == published
    assert {one: (raw(copy) / one).stat().st_ino for one in others} == others
    assert sorted(one.name for one in raw(copy).iterdir()) == sorted(NAMES)
    assert capsys.readouterr().out == ""


def test_nothing_is_downloaded_if_all_files_are_there(copy: Path, offline: list[str]):
    data.ensure(copy)
    assert offline == []


def test_a_folder_that_is_not_there_is_filled(tmp_path: Path, mirror: dict[str, bytes]):
    folder = tmp_path / "new" / "folder"
    data.ensure(folder)
    assert content(raw(folder)) == mirror


@pytest.mark.parametrize("instead", [b"<!DOCTYPE html><html>sign in</html>", b"", b"\x1f\x8b altered"])
def test_a_downloaded_file_is_checked_too(tmp_path: Path, mirror: dict[str, bytes], instead: bytes):
    mirror[TEST_LABELS] = instead
    with pytest.raises(UnusableInput, match=r"missing, and the download failed .*File not found or corrupted"):
        data.ensure(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_is_one_line_and_leaves_nothing(
    tmp_path: Path, offline: list[str], capsys: pytest.CaptureFixture
):
    with pytest.raises(UnusableInput) as caught:
        data.ensure(tmp_path / "new" / "folder")
    message = str(caught.value)
    assert message.startswith(
        f"{raw(tmp_path / 'new' / 'folder')}: {', '.join(NAMES)} missing, and the download failed"
    )
    printed = capsys.readouterr()
    said = " ".join((message + printed.err).split())  # before release 0.21, torchvision only prints the cause
    assert "Name or service not known" in said
    clone = Path(data.__file__).parents[2] / "data"
    assert message.endswith(f"copy the four files of MNIST there, or name a folder that has them with --data {clone}")
    assert "\n" not in message
    assert offline
    assert list(tmp_path.iterdir()) == []
    assert printed.out == ""


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError(104, "Connection reset by peer"), TimeoutError("timed out"), http.client.IncompleteRead(b"")],
)
def test_a_connection_that_breaks_makes_the_download_fail(
    copy: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def breaks(*_: Any, **__: Any) -> None:
        raise error

    (raw(copy) / TEST_LABELS).unlink()
    before = content(copy)
    monkeypatch.setattr("urllib.request.urlopen", breaks)
    with pytest.raises(UnusableInput, match=f"{TEST_LABELS} missing, and the download failed"):
        data.ensure(copy)
    assert content(copy) == before


def test_an_interrupted_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("urllib.request.urlopen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.ensure(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("folder", "cause"), [("file/folder", "Not a directory"), ("/proc/folder", "No such file")])
def test_a_folder_that_cannot_be_made_is_named_with_the_cause(
    tmp_path: Path, offline: list[str], folder: str, cause: str
):
    if folder.startswith("/proc") and sys.platform != "linux":
        pytest.skip("there is no /proc")
    (tmp_path / "file").touch()
    with pytest.raises(UnusableInput) as caught:
        data.load(tmp_path / folder)
    place, _, rest = str(caught.value).partition(": ")
    assert place.startswith(str(tmp_path / folder.split("/folder")[0]))
    assert cause in rest
    assert "--data" in rest
    assert "\n" not in rest
    assert offline == []


def test_a_folder_in_place_of_a_file_is_one_line(copy: Path, mirror: dict[str, bytes]):
    path = raw(copy) / TEST_LABELS
    path.unlink()
    path.mkdir()
    with pytest.raises(UnusableInput, match="Is a directory") as caught:
        data.load(copy)
    assert TEST_LABELS in str(caught.value)
    assert sorted(one.name for one in raw(copy).iterdir()) == sorted(NAMES)


def test_a_full_disk_while_downloading_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/tmp/somewhere")

    monkeypatch.setattr(import_torchvision().datasets.MNIST, "download", full)
    with pytest.raises(UnusableInput, match=r"^/tmp/somewhere: No space left on device: remove the cause"):
        data.load(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
