"""Where a codec is missing, one sentence says so at the start, and not a record that comes days later."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import aiokafka.codec
import kafka.codec
import pytest

from recommender.kafka import codecs
from recommender.kafka.clients import open_consumer
from recommender.kafka.log_reader import reading_logs
from tests.support.record_batches import CODECS, compressed

WITHOUT = """
import sys
sys.modules["{}"] = None
sys.argv[1:] = ["worker"]
from recommender.cli.main import main
main()
"""


def test_both_clients_have_all_of_them() -> None:
    codecs.require(aiokafka.codec, codecs.OF_AIOKAFKA)
    codecs.require(kafka.codec, codecs.OF_KAFKA_PYTHON)


def test_the_packages_are_named() -> None:
    client = SimpleNamespace(has_snappy=lambda: False, has_lz4=lambda: True, has_zstd=lambda: False)
    with pytest.raises(codecs.CodecMissing) as raised:
        codecs.require(client, codecs.OF_KAFKA_PYTHON)
    assert str(raised.value) == (
        "Records that are compressed with snappy, zstd cannot be read: Python packages python-snappy, "
        "zstandard missing. `pip install python-snappy zstandard` installs what is missing"
    )
    with pytest.raises(codecs.CodecMissing, match="Python package cramjam missing"):
        codecs.require(client, codecs.OF_AIOKAFKA)


def test_all_that_read_look_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka.codec, "lz4", None)
    with pytest.raises(codecs.CodecMissing, match="lz4"):
        open_consumer("127.0.0.1:1", 1.0, {})
    with pytest.raises(codecs.CodecMissing, match="lz4"), reading_logs("127.0.0.1:1", {}):
        pass


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_what_was_compressed_comes_back(number: int) -> None:
    content = bytes(range(256)) * 40_000  # several parts
    packed = compressed(content, CODECS[number])
    assert codecs.decompressed(number, packed) == content
    assert codecs.decompressed(number, packed, len(content)) == content
    with pytest.raises(codecs.CannotRead, match="come"):
        codecs.decompressed(number, packed, len(content) - 1)
    if CODECS[number] != "snappy":  # the others are streams, of which several may follow each other
        assert codecs.decompressed(number, packed + packed) == 2 * content
    with pytest.raises(codecs.CannotRead, match=CODECS[number]):
        codecs.decompressed(number, b"\xee" * 50)


@pytest.mark.parametrize("module", ["cramjam", "zstandard"])
def test_a_worker_without_one_does_not_start(module: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECOMMENDER_")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module)],
        env=kept
        | {"RECOMMENDER_BROKER": "127.0.0.1:1", "RECOMMENDER_BROKER_WAIT": "0"}
        | {"RECOMMENDER_WEB_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert f"{module} missing. `pip install" in done.stderr
