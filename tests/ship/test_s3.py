"""Artifacts in a store that speaks S3, over HTTP as any of them does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from honk.model import HonkError
from honk.ship.shelf import Shelf

SHA256 = "ab" * 32


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    # Read here, and not by each worker that collects tests: it is as much as all of Honk.
    from moto.server import ThreadedMotoServer

    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    _, port = started.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    started.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    import boto3
    import s3fs

    for name, value in (
        ("AWS_ENDPOINT_URL", server), ("AWS_ACCESS_KEY_ID", "honk"), ("AWS_SECRET_ACCESS_KEY", "honk"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    # Drivers are kept by their address, not by what the environment says of it.
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.client("s3").create_bucket(Bucket="builds")
    return "s3://builds/honk"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<p>hello")
    (folder / "assets/app.js").write_bytes(bytes(range(256)) * 4000)
    return folder


def test_what_is_put_there_comes_back_on_another_machine_until_it_is_removed(
    bucket: str, built: Path, tmp_path: Path
) -> None:
    Shelf(bucket).put(SHA256, built)
    Shelf(bucket).put(SHA256, built)
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    Shelf(bucket).fetch(SHA256, fetched)
    for name in ("index.html", "assets/app.js"):
        assert (fetched / name).read_bytes() == (built / name).read_bytes()
    Shelf(bucket).remove(SHA256)
    Shelf(bucket).remove(SHA256)
    with pytest.raises(HonkError, match="does not have what was built any more"):
        Shelf(bucket).fetch(SHA256, fetched)


def test_a_bucket_that_is_not_there_is_said(bucket: str, built: Path) -> None:
    with pytest.raises(HonkError, match="has no nowhere: make it, or mend HONK_ARTIFACTS_URL"):
        Shelf("s3://nowhere/honk").put(SHA256, built)


def test_a_store_that_is_away_is_said(bucket: str, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(HonkError, match="The artifact store"):
        Shelf("s3://away/honk").put(SHA256, built)
