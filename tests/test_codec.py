"""The compressor: archives that come back on every instruction set, errors that say where, files and pipes."""

import os
import subprocess
import sys

import numpy as np
import pytest

import rnnrs

TEXT = b"What the nets learned they need not be told again; what they did not, they are told. " * 40


def noise(length, seed=0):
    return np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()


def command(*arguments, stdin=b"", folder=None, env=None):
    return subprocess.run(
        [sys.executable, "-m", "rnnrs", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | (env or {}),
        input=stdin,
        capture_output=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def archive():
    return rnnrs.codec.compress(TEXT, preset="fast")


@pytest.mark.parametrize("preset", ["fast", "default", "best"])
@pytest.mark.parametrize(
    "data", [b"", b"x", TEXT, noise(3000), bytes(2000)], ids=["empty", "byte", "text", "noise", "0"]
)
def test_comes_back(preset, data):
    archive = rnnrs.codec.compress(data, preset=preset)
    assert rnnrs.codec.decompress(archive) == data
    assert len(archive) <= 1.001 * len(data) + 64


def test_text_becomes_short(archive):
    assert len(archive) < len(TEXT) / 8


def test_several_streams():
    data = TEXT * 10 + noise(5)
    archive = rnnrs.codec.compress(data, preset="fast")
    assert rnnrs.codec.decompress(archive) == data


@pytest.fixture(scope="module")
def streams():
    data = TEXT * 10 + noise(5)  # long enough for two streams
    return data, rnnrs.codec.compress(data, preset="fast")


@pytest.mark.parametrize("simd", ["scalar", "avx2", "avx512"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_archive_from_every_machine(streams, simd, threads):
    environment = {"RNNRS_SIMD": simd, "RNNRS_NUM_THREADS": str(threads)}
    if command("info", env=environment).returncode != 0:
        assert simd != "scalar"
        pytest.skip(f"the processor has no {simd}")
    data, here = streams
    done = command("compress", "-", "--fast", "--quiet", stdin=data, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == here
    done = command("decompress", "-", "--quiet", stdin=here, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_damage_is_an_error_that_says_where(archive):
    for at in np.random.default_rng(1).integers(0, 8 * len(archive), 60):
        changed = bytearray(archive)
        changed[at // 8] ^= 1 << (at % 8)
        with pytest.raises(rnnrs.FileError, match=r"byte|version"):
            rnnrs.codec.decompress(bytes(changed))
    for end in range(0, len(archive), 17):
        with pytest.raises(rnnrs.FileError, match="byte"):
            rnnrs.codec.decompress(archive[:end])


def test_whole_blocks_are_salvaged():
    block = 1 << 18
    data = bytes(block) + TEXT
    archive = rnnrs.codec.compress(data, preset="fast")
    assert rnnrs.codec.salvage(archive) == (data, None)
    content, error = rnnrs.codec.salvage(archive[:-60])
    assert content == bytes(block)
    assert isinstance(error, rnnrs.FileError)
    assert "block 1" in str(error)


def test_wrong_arguments():
    with pytest.raises(rnnrs.InvalidValueError, match="fast, default or best"):
        rnnrs.codec.compress(b"", preset="slow")
    with pytest.raises(rnnrs.FileError):
        rnnrs.codec.decompress(b"no archive")
    with pytest.raises(rnnrs.FileError):
        rnnrs.codec.decompress(b"")
    with pytest.raises(TypeError):
        rnnrs.codec.compress("text")


def test_progress_is_told_and_may_stop():
    seen = []
    rnnrs.codec.compress(TEXT * 10, progress=lambda content, archive: seen.append((content, archive)))
    assert seen
    assert all(0 < content <= len(TEXT) * 10 for content, _ in seen)

    def stop(content, archive):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        rnnrs.codec.compress(TEXT * 10, progress=stop)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "bytes.safetensors"
    layers = [rnnrs.Embedding(256, 8), rnnrs.GRU(8, 12), rnnrs.Linear(12, 256)]
    rnnrs.Sequential(*layers, seed=0).save(path)
    return path


def test_a_model_of_ones_own(model, tmp_path):
    archive = rnnrs.codec.compress(TEXT, model=model)
    assert rnnrs.codec.decompress(archive, model=model) == TEXT
    with pytest.raises(rnnrs.InvalidValueError, match="SHA-256"):
        rnnrs.codec.decompress(archive)
    other = tmp_path / "other.safetensors"
    rnnrs.Sequential(rnnrs.Embedding(256, 8), rnnrs.GRU(8, 12), rnnrs.Linear(12, 256), seed=1).save(other)
    with pytest.raises(rnnrs.InvalidValueError, match="SHA-256"):
        rnnrs.codec.decompress(archive, model=other)
    with pytest.raises(rnnrs.InvalidValueError, match="none"):
        rnnrs.codec.decompress(rnnrs.codec.compress(b"abc"), model=model)
    rnnrs.Sequential(rnnrs.Embedding(50, 8), rnnrs.GRU(8, 12), rnnrs.Linear(12, 50), seed=1).save(other)
    with pytest.raises(rnnrs.InvalidValueError, match="256"):
        rnnrs.codec.compress(TEXT, model=other)


def test_files(tmp_path, model):
    source = tmp_path / "a text"
    source.write_bytes(TEXT)
    packed = tmp_path / "a text.rnz"
    done = command("compress", source, "--model", model)
    assert done.returncode == 0, done.stderr
    assert b"bits a byte" in done.stderr
    assert packed.read_bytes() == rnnrs.codec.compress(TEXT, model=model)
    # What exists is kept.
    done = command("decompress", packed, "--model", model)
    assert done.returncode == 1
    assert b"exists" in done.stderr
    source.write_bytes(b"kept")
    assert command("compress", source).returncode == 1
    assert command("decompress", packed, "--model", model, "--force").returncode == 0
    assert source.read_bytes() == TEXT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a text", "a text.rnz"]


def test_salvage_on_the_command_line(tmp_path, archive):
    block = 1 << 18
    cut = rnnrs.codec.compress(bytes(block) + TEXT, preset="fast")[:-60]
    path = tmp_path / "cut.rnz"
    path.write_bytes(cut)
    done = command("decompress", path)
    assert done.returncode == 1
    assert b"block 1" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["cut.rnz"]
    done = command("decompress", path, "--salvage")
    assert done.returncode == 1
    assert b"262,144 bytes salvaged" in done.stderr
    assert (tmp_path / "cut").read_bytes() == bytes(block)


def test_pipes_and_names(tmp_path, archive):
    done = command("compress", "-", "--fast", stdin=TEXT)
    assert done.stdout == archive
    done = command("decompress", "-", "-o", "out", stdin=archive, folder=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "out").read_bytes() == TEXT
    done = command("decompress", "out", folder=tmp_path)
    assert done.returncode == 1
    assert b".rnz" in done.stderr
    assert command("compress", "missing", folder=tmp_path).returncode == 1
    assert command("compress", "out", "--fast", "--best", folder=tmp_path).returncode == 2
