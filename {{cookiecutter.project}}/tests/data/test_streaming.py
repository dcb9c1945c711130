"""A packed data set: the images of the folder, each once an epoch, through interruptions of every kind."""

import logging
import pickle
import signal
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from itertools import islice, product
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import ImageFolderDataModule, StreamingImageDataModule
from {{cookiecutter.package}}.engine.batches import TrainingLoader
from {{cookiecutter.package}}.engine.images import BatchDataset, LabelledImages, SeededIndices, keep_batch
from {{cookiecutter.package}}.engine.splits import SPLITS
from {{cookiecutter.package}}.engine.streaming.chunks import ChunkCache, PackedImages
from {{cookiecutter.package}}.engine.streaming.format import Chunk
from {{cookiecutter.package}}.engine.streaming.stores import FolderStore
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.predictor import Decoding

from ..conftest import Fit, whole
from ..interruption import assert_same, signal_of
from ..object_server import ObjectServer, running_server

server = pytest.fixture(running_server)

SMALL = ["--chunk_megabytes", "0.006"]
OPTIONS = {"image_size": 16, "batch_size": 8, "shuffle_chunks": 3}


@pytest.fixture
def packed(photos: Path, workspace: Path) -> Path:
    main(["pack", str(photos), "packed", *SMALL])
    return workspace / "packed"


@pytest.fixture
def bucket(photos: Path, server: ObjectServer) -> str:
    assert server.names() == set()
    main(["pack", str(photos), "s3://photos/all", *SMALL])
    return "s3://photos/all"


def module(root: object, **options: Any) -> StreamingImageDataModule:
    return StreamingImageDataModule(str(root), **OPTIONS | options)


def share(data: StreamingImageDataModule, world_size: int, rank: int) -> StreamingImageDataModule:
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=world_size, global_rank=rank, num_nodes=1, accelerator=None
    )
    return data


def shown(data: StreamingImageDataModule, epoch: int = 0) -> list[list[int]]:
    """Positions of the training images in each batch of an epoch."""
    loader = data.train_dataloader()
    assert isinstance(loader, TrainingLoader)
    loader.batch_sampler.order.set_epoch(epoch)
    return [list(batch) for batch in loader.batch_sampler]


@pytest.mark.parametrize("stored", [[], ["--decoded", "--image_size", "16"]])
def test_the_same_images_labels_names_and_facts_as_the_folder(photos: Path, stored: list[str]) -> None:
    main(["pack", str(photos), "packed", *SMALL, *stored])
    data, folder = module("packed"), ImageFolderDataModule(str(photos), image_size=16)
    assert data.facts == folder.facts
    assert data.split_hash == folder.split_hash
    for split in SPLITS:
        one, other = data.split(split), folder.split(split)
        position = {name: i for i, name in enumerate(other.names)}
        order = [position[name] for name in one.names]
        assert split == "train" or order == sorted(order)
        assert torch.equal(whole(one), whole(other)[order])
        assert torch.equal(one.labels, other.labels[order])


def test_batches_keep_the_contract(packed: Path) -> None:
    data = module(packed)
    data.setup("fit")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        images, labels = next(iter(loader))
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        assert images.shape[1:] == (3, 16, 16)
        assert len(images) == len(labels)
    assert torch.equal(torch.cat([batch[0] for batch in data.test_dataloader()]), whole(data.split("test")))


def test_grey_images_and_class_weights(packed: Path, photos: Path) -> None:
    grey, folder = module(packed, num_channels=1), ImageFolderDataModule(str(photos), image_size=16, num_channels=1)
    assert grey.facts.mean == pytest.approx(folder.facts.mean)
    assert whole(grey.split("test")).shape[1] == 1
    weighted = ImageFolderDataModule(str(photos), imbalance="loss_weights").facts.class_weights
    assert module(packed, imbalance="loss_weights").facts.class_weights == pytest.approx(weighted)


def test_each_image_once_an_epoch_over_all_processes(packed: Path) -> None:
    """43 images are divisible by none of the numbers of processes."""
    for world_size, batch_size, epoch in product((1, 2, 3, 7), (1, 4, 8, 100), (0, 1)):
        ranks = [shown(share(module(packed, batch_size=batch_size), world_size, r), epoch) for r in range(world_size)]
        assert Counter(position for batches in ranks for batch in batches for position in batch) == Counter(range(43))
        assert len({len(batches) for batches in ranks}) == 1
        assert all(batch for batches in ranks for batch in batches)
        if batch_size > 1:
            assert max(len(batch) for batches in ranks for batch in batches) <= batch_size


def test_each_name_once_over_two_processes_one_of_which_is_interrupted(packed: Path) -> None:
    """By what is in the images, not by what the sampler says."""
    pictures = {bytes(image.numpy()): i for i, image in enumerate(whole(module(packed).split("train")))}
    seen: Counter[int] = Counter()
    for rank, stop in ((0, 100), (1, 1)):
        data = share(module(packed, augmentation="none"), 2, rank)
        first, again = data.train_dataloader(), data.train_dataloader()
        assert isinstance(first, TrainingLoader)
        assert isinstance(again, TrainingLoader)
        batches = list(islice(first, stop))
        again.load_state_dict(first.state_dict())
        batches += [] if stop == 100 else list(again)
        seen.update(pictures[bytes(image.numpy())] for images, _ in batches for image in images)
    assert seen == Counter(range(43))


def test_orders_differ_by_epoch_and_follow_from_it(packed: Path) -> None:
    first, second, again = (shown(module(packed), epoch) for epoch in (0, 1, 0))
    assert first == again
    assert first != second
    positions = [position for batch in first for position in batch]
    assert sorted(positions) != positions


def test_a_batch_is_of_few_chunks(packed: Path) -> None:
    data = module(packed, shuffle_chunks=2)
    chunks = data.packed.chunks("train")
    of_image = [number for number, chunk in enumerate(chunks) for _ in range(chunk.num_images)]
    assert len(chunks) > 10
    assert max(len({of_image[position] for position in batch}) for batch in shown(data)[:-1]) <= 6
    assert max(len({of_image[position] for position in batch}) for batch in shown(module(packed, batch_size=2))) <= 2


@pytest.mark.parametrize("num_workers", [0, 2])
def test_goes_on_within_an_epoch(packed: Path, num_workers: int) -> None:
    loaders = [module(packed, num_workers=num_workers).train_dataloader() for _ in range(2)]
    batches = list(loaders[0])
    assert isinstance(loaders[1], TrainingLoader)
    loaders[1].load_state_dict({"position": 2})
    for one, other in zip(batches[2:], loaders[1], strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_can_be_sent_to_another_process(bucket: str) -> None:
    data = module(bucket)
    before = whole(data.split("test"))
    split = pickle.loads(pickle.dumps(data.split("test")))
    assert torch.equal(whole(split), before)
    assert list(split.names) == list(data.split("test").names)


@pytest.mark.parametrize("method", ["fork", "spawn"])  # test_a_training_resumes_bit_for_bit uses forkserver
def test_a_worker_of_each_start_method_reads_the_same_batches(bucket: str, method: str) -> None:
    data = share(module(bucket), 1, 0)
    data.trainer.batches = (batch for batch in range(3))  # type: ignore[union-attr]  # cannot be sent to a worker
    dataset: Any = data.train_dataloader().dataset
    batches = [SeededIndices(range(8), seed=1), SeededIndices([5, 3, 5], seed=2)]
    expected = [dataset.__getitems__(indices) for indices in batches]
    dataset = share(module(bucket, cache_dir="of the worker"), 1, 0).train_dataloader().dataset
    loader = DataLoader(
        dataset, batch_sampler=batches, num_workers=1, collate_fn=keep_batch, multiprocessing_context=method
    )
    torch.testing.assert_close(list(loader), expected, rtol=0, atol=0)


def test_little_is_sent_to_a_worker() -> None:
    chunks = [Chunk(f"train/chunk-0-{i}.bin", 500, 64_000_000, "0" * 64) for i in range(100)]
    cache = ChunkCache(FolderStore(Path("packed")), Path("cache"), budget=0, patience=0.0)
    images = PackedImages(chunks, cache, Decoding(16, 3, "crop"), is_decoded=False, read_ahead=False)
    names = [f"photos/of a class/image {i}.jpg" for i in range(len(images))]
    dataset = BatchDataset(LabelledImages(images, torch.zeros(len(images), dtype=torch.long), names))
    assert len(ForkingPickler.dumps(dataset)) < 100_000  # bytes
    assert dataset.split.names == names


def test_a_data_set_of_an_older_version(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed with --decoded --image_size 4, before the engine and the tools had folders; and trained on with seed 3."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    with zipfile.ZipFile(Path(__file__).with_name("packed_before.zip")) as packed:
        packed.extractall(workspace)
    data = module("packed", image_size=None, batch_size=3, shuffle_chunks=1)
    assert data.split_hash == "9ae64de5ea1474768345b3575d4ee2cf559f80316a38f9db14db96445b7d729f"
    assert data.facts.class_names == ["blue", "red"]
    assert [len(data.split(split)) for split in SPLITS] == [8, 2, 2]
    for split in SPLITS:
        colours = whole(data.split(split)).float().mean(dim=(2, 3))  # (N, 3)
        is_red = colours[:, 0] > colours[:, 2]
        assert torch.equal(is_red, data.split(split).labels == 1)
        assert is_red.tolist() == [name.startswith(f"{split}/red/") for name in data.split(split).names]
        assert data.digests(split) is not None
    assert shown(data, epoch=0) == [[2, 1, 0], [3, 6, 5], [4, 7]]
    assert shown(data, epoch=1) == [[6, 5, 7], [4, 2, 3], [0, 1]]
    loader: Any = data.train_dataloader()
    assert [batch.seed for batch in loader.batch_sampler] == [1576890651, 3578933982, 2930978690]


def test_a_bucket_is_read_as_the_folder_is_within_the_budget(bucket: str, packed: Path, workspace: Path) -> None:
    budget = 50_000  # bytes: the 3 chunks shuffled together, and the next 3
    remote, local = (module(root, cache_gb=budget / 1e9) for root in (bucket, packed))
    largest = 0
    for one, other in zip(remote.train_dataloader(), local.train_dataloader(), strict=True):
        assert torch.equal(one[0], other[0])
        largest = max(largest, sum(file.stat().st_size for file in (workspace / "data/cache").rglob("*.bin")))
    assert 0 < largest <= budget
    assert sum(chunk.num_bytes for chunk in remote.packed.chunks("train")) > budget
    for split in ("val", "test"):
        assert torch.equal(whole(remote.split(split)), whole(local.split(split)))


def test_processes_share_what_is_downloaded(bucket: str, server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [batch[0] for batch in module(bucket).train_dataloader()]
    server.stop()  # all is in the cache but dataset.json, which is asked for first
    monkeypatch.setattr("{{cookiecutter.package}}.engine.streaming.format.FIRST_CONTACT_SECONDS", 0.2)
    with pytest.raises(UserError, match="does not answer"):
        module(bucket).facts  # noqa: B018
    server.start()
    data = module(bucket, num_workers=2)
    data.setup("fit")
    server.stop()
    for one, other in zip(data.train_dataloader(), expected, strict=True):
        assert torch.equal(one[0], other)


def test_a_damaged_download_is_replaced(bucket: str, workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = whole(module(bucket).split("test"))
    file = next((workspace / "data/cache").rglob("test/*.bin"))
    file.write_bytes(file.read_bytes()[:-7] + b"damaged")
    assert torch.equal(whole(module(bucket).split("test")), before)
    assert "is damaged and is downloaded again" in caplog.text


@pytest.mark.parametrize("length", [-1, -8])
def test_a_damaged_chunk(packed: Path, length: int) -> None:
    file = next((packed / "val").glob("*.bin"))
    file.write_bytes(file.read_bytes()[:length] + (b"?" if length == -1 else b""))
    with pytest.raises(UserError, match=rf"the chunk '.*{file.name}' is damaged.*Run pack again"):
        whole(module(packed).split("val"))


def test_a_damaged_chunk_in_a_bucket_and_in_a_worker(bucket: str, server: ObjectServer) -> None:
    name = module(bucket).packed.chunks("train")[0].name
    server.client.put_object(Bucket="photos", Key=f"all/{name}", Body=b"x" * 100)
    for num_workers in (0, 1):
        with pytest.raises(UserError, match="is damaged: 100 bytes") as error:
            list(module(bucket, num_workers=num_workers).train_dataloader())
        assert str(error.value).startswith("the chunk")  # no traceback of the worker before it


def test_a_missing_chunk_and_a_table_of_another_packing(packed: Path) -> None:
    (packed / "val" / "chunk-0-0.bin").unlink()
    with pytest.raises(UserError, match=r"chunk-0-0.bin' is missing. Run pack again"):
        whole(module(packed).split("val"))
    (packed / "val" / "labels.npy").write_bytes((packed / "test" / "labels.npy").read_bytes() + b"1")
    with pytest.raises(UserError, match=r"labels.npy' is damaged, or of another packing"):
        module(packed).split("val")


@pytest.mark.usefixtures("photos", "server")
def test_nothing_packed_there(workspace: Path) -> None:
    (workspace / "empty").mkdir()
    (workspace / "file").write_text("")
    (workspace / "odd").mkdir()
    (workspace / "odd/dataset.json").write_text('{"format": 99}')
    for root, reason in {
        "nowhere": "it is empty or does not exist",
        "empty": "it is empty or does not exist",
        "photos": "it has no dataset.json. Pack a folder of images with pack ROOT OUT",
        "file": "it is a file",
        "s3://nowhere/all": "there is no such bucket",
        "s3://photos/empty": "it is empty or does not exist",
    }.items():
        with pytest.raises(UserError, match=f"data.root is '{root}', which is not a packed data set: {reason}"):
            module(root).facts  # noqa: B018
    with pytest.raises(UserError, match=r"data.root is 'odd', whose dataset.json cannot be read: it is of format 99"):
        module("odd").facts  # noqa: B018
    with pytest.raises(UserError, match=r"data.root is 'packed', which is not a packed data set"):
        StreamingImageDataModule().facts  # noqa: B018
    with pytest.raises(UserError, match="'http://host/x' cannot be a packed data set"):
        module("http://host/x").facts  # noqa: B018


def test_a_wrong_address(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("{{cookiecutter.package}}.engine.streaming.format.FIRST_CONTACT_SECONDS", 0.2)
    with pytest.raises(UserError, match=r"does not answer: s3://photos/all/dataset.json .*127.0.0.1:1"):
        module(bucket, endpoint_url="http://127.0.0.1:1").facts  # noqa: B018
    with pytest.raises(UserError, match="'nonsense' is not an address of an object store"):
        module(bucket, endpoint_url="nonsense").facts  # noqa: B018
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(UserError, match=r"refuses s3://photos/all/dataset.json.*Credentials come from"):
        module(bucket).facts  # noqa: B018


def test_what_cannot_be_asked_for(photos: Path, packed: Path, bucket: str) -> None:
    main(["pack", str(photos), "decoded", "--decoded", "--image_size", "16"])
    with pytest.raises(UserError, match=r"data.image_size is 24, and data.root was packed decoded with 16"):
        module("decoded", image_size=24).facts  # noqa: B018
    with pytest.raises(UserError, match=r"data.fit is pad, and data.root was packed decoded with crop"):
        module("decoded", fit="pad").facts  # noqa: B018
    with pytest.raises(UserError, match=r"data.cache_gb is 1e-05; shuffling 3 chunks together"):
        module(bucket, cache_gb=1e-5).train_dataloader()
    with pytest.raises(UserError, match=r"data.cache_gb is -1"):
        module(packed, cache_gb=-1)
    with pytest.raises(UserError, match=r"data.shuffle_chunks is 0"):
        module(packed, shuffle_chunks=0)
    with pytest.raises(UserError, match="train has 43 images, and 44 processes share them"):
        share(module(packed), 44, 0).train_dataloader()


def stream(fit: Fit, root: object, *options: str, directory: str, epochs: int = 2) -> Path:
    """A training on a packed data set through the real entry point."""
    return fit(
        "--data", "StreamingImageDataModule", "--data.root", str(root), "--data.image_size", "16",
        "--data.batch_size", "8", "--data.shuffle_chunks", "3", "--model.dropout", "0.5", "--run.directory", directory,
        *options, epochs=epochs,
    )  # fmt: skip


@pytest.mark.parametrize(("moment", "workers"), [((1, 1), "0"), ((1, 3), "1")])
@pytest.mark.usefixtures("forkserver")
def test_a_training_resumes_bit_for_bit(
    fit: Fit,
    packed: Path,
    workspace: Path,
    interrupt: Callable[..., None],
    moment: tuple[int, int],
    workers: str,
) -> None:
    option = ["--data.num_workers", workers]
    expected = stream(fit, packed, *option, directory="whole")
    interrupt(*moment, signal_of(signal.SIGTERM))
    with pytest.raises(SystemExit):
        stream(fit, packed, *option, directory="part")
    main(["fit", "--resume", "part"])
    assert_same(workspace / "part", expected)


def test_a_store_that_is_away_for_a_while_is_waited_for(
    fit: Fit, bucket: str, server: ObjectServer, interrupt: Callable[..., None], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    small_cache = ["--data.cache_gb", "0.00005"]
    expected = stream(fit, bucket, *small_cache, directory="whole")

    def go_away() -> None:
        server.stop()
        server.start_in(1.5)

    interrupt(1, 0, go_away)
    with caplog.at_level(logging.WARNING):
        waited = stream(fit, bucket, *small_cache, directory="waited")
    assert "no answer" in caplog.text
    assert_same(waited, expected)


def test_a_store_that_stays_away_ends_the_training_which_then_resumes(
    fit: Fit, bucket: str, server: ObjectServer, interrupt: Callable[..., None], capsys: pytest.CaptureFixture[str],
    workspace: Path,
) -> None:  # fmt: skip
    options = ["--data.cache_gb", "0.00005", "--data.retry_minutes", "0.01"]
    expected = stream(fit, bucket, *options, directory="whole")
    interrupt(1, 0, server.stop)
    begin = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        stream(fit, bucket, *options, directory="part")
    assert ended.value.code == 2
    assert "the object store does not answer: s3://photos/all/" in (said := capsys.readouterr().err)
    assert "fit --resume last" in said
    assert time.monotonic() - begin < 20
    server.start()
    main(["fit", "--resume", "last", "--run.root", str(workspace)])
    assert_same(workspace / "part", expected)


def test_the_report_shows_pictures(fit: Fit, packed: Path) -> None:
    run = stream(fit, packed, "--report", "true", directory="run")
    assert (run / "report.html").read_text().count("data:image") > 3
