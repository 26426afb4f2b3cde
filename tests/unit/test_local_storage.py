"""The local file system's own traps: what is no file, what changes, what survives a power cut."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.errors import InputChanged, InvalidInput, Unavailable
from millrace.storage.local import LocalStorage
from millrace.storage.os_errors import translated
from millrace.storage.uri import normalise

STORE = LocalStorage()


def uri(path: Path) -> str:
    return normalise(str(path))


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(InvalidInput, match="NOT_A_REGULAR_FILE"):
            STORE.info(uri(path))
    with pytest.raises(InvalidInput, match="IS_A_FOLDER"):
        STORE.info(uri(tmp_path))


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    pinned = STORE.info(uri(path))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InvalidInput, match="NOT_A_REGULAR_FILE"):
        STORE.open(pinned)


@pytest.mark.parametrize("change", ["append", "truncate", "rewrite", "touch"])
def test_a_change_is_seen_by_the_next_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    source = STORE.open(STORE.info(uri(path)))
    assert source.read_at(0, 4) == b"0123"
    match change:
        case "append":
            with path.open("ab") as file:
                file.write(b"x")
        case "truncate":
            os.truncate(path, 5)
        case "rewrite":
            path.write_bytes(b"9876543210")
        case _:
            os.utime(path, ns=(0, 0))
    with pytest.raises(InputChanged, match="INPUT_CHANGED"):
        source.read_at(4, 4)
    source.close()


def test_a_replaced_file_of_equal_size_and_time_is_another(tmp_path: Path) -> None:
    path, other = tmp_path / "x", tmp_path / "y"
    for each in (path, other):
        each.write_bytes(b"same")
        os.utime(each, ns=(5, 5))
    pinned = STORE.info(uri(path))
    other.rename(path)
    with pytest.raises(InputChanged, match="INPUT_CHANGED"):
        STORE.open(pinned)


def test_an_unlinked_file_can_be_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    source = STORE.open(STORE.info(uri(path)))
    path.unlink()
    assert source.read_at(5, 5) == b"56789"
    source.close()


@pytest.mark.parametrize("target", ["lost", "."])
def test_a_link_that_is_not_followed_is_not_left_out_silently(tmp_path: Path, target: str) -> None:
    (tmp_path / "rows.jsonl").symlink_to(tmp_path / target)
    with pytest.raises(InvalidInput, match="LINK_NOT_FOLLOWED"):
        list(STORE.list(uri(tmp_path)))


def test_links_to_files_are_listed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    found = [each.uri for each in STORE.list(uri(tmp_path))]
    assert found == [uri(tmp_path / "a"), uri(tmp_path / "b")]


def test_published_files_obey_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        STORE.put_once(uri(tmp_path / "x"), b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_spool_is_hidden_and_beside_its_final_name(tmp_path: Path) -> None:
    with STORE.spool(uri(tmp_path / "parts")) as spooled:
        assert spooled.parent == tmp_path / "parts"
        assert spooled.name.startswith(".")


@pytest.mark.parametrize(
    ("number", "error", "code"),
    [
        ("ENOSPC", Unavailable, "STORAGE_FULL"),
        ("EDQUOT", Unavailable, "STORAGE_FULL"),
        ("EFBIG", Unavailable, "STORAGE_FULL"),
        ("EMFILE", Unavailable, "STORAGE_BUSY"),
        ("EIO", Unavailable, "STORAGE_ERROR"),
        ("EACCES", InvalidInput, "STORAGE_FORBIDDEN"),
        ("EROFS", InvalidInput, "STORAGE_FORBIDDEN"),
        ("ENOTDIR", InvalidInput, "PATH_NOT_ALLOWED"),
    ],
)
def test_what_the_system_says_is_told(number: str, error: type[Exception], code: str) -> None:
    with pytest.raises(error, match=f"/x.*{code}"), translated("/x"):
        raise OSError(getattr(errno, number), "reason")


def test_a_file_in_the_way_of_a_folder_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(InvalidInput, match="PATH_NOT_ALLOWED"):
        STORE.put_once(uri(tmp_path / "out" / "x"), b"x")


PUBLISH = """
import hashlib, sys
from millrace.storage.local import LocalStorage
store = LocalStorage()
with store.spool(sys.argv[1]) as spooled:
    spooled.write_bytes(b"part")
    store.put(spooled, sys.argv[1] + "/final", hashlib.sha256(b"part").hexdigest())
store.settle([sys.argv[1] + "/final"])
store.put_once(sys.argv[1] + "/once", b"small")
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace: apt install strace")
def test_a_part_outlasts_a_power_cut_once_settled_and_what_is_put_once_at_once(
    tmp_path: Path,
) -> None:
    """F57: what a manifest names is on the disk before it, and its own content before its name."""
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,link,linkat,unlink,unlinkat"
    tracer = ["strace", "-f", "-y", "-o", str(trace), "-e", calls]
    subprocess.run(
        [*tracer, sys.executable, "-c", PUBLISH, uri(tmp_path / "out")],
        check=True,
        cwd=Path(__file__).parents[2],
    )
    steps = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines() if "out" in line]
    part, once = (at for at, step in enumerate(steps) if step.startswith("link"))
    settling, putting = steps[part:once], steps[once:]
    files = [at for at, step in enumerate(settling) if "fsync" in step and "/out/final>" in step]
    names = [at for at, step in enumerate(settling) if "fsync" in step and "/out>" in step]
    assert files
    assert names[-1] > files[0], "the folder is synced after what it holds"
    assert any("fsync" in step and "/out/.spool-" in step for step in settling), "before its name"
    assert any("fsync" in step and "/out>" in step for step in putting)


def test_bytes_that_were_flipped_on_the_way_are_not_published(tmp_path: Path) -> None:
    with STORE.spool(uri(tmp_path)) as spooled:
        spooled.write_bytes(b"x")
        with pytest.raises(Unavailable, match="SPOOL_CORRUPT"):
            STORE.put(spooled, uri(tmp_path / "x"), hashlib.sha256(b"y").hexdigest())
