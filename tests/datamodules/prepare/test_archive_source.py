import io
import stat
import tarfile
import zipfile

import pytest

from datamodules import DataError
from datamodules.prepare import source_file

SAMPLE = tuple(f"NLPR/test/{folder}/a.png" for folder in ("rgb", "depths", "gt"))


@pytest.fixture(params=["zip", "tar", "tar.gz"])
def pack(request, tmp_path, image_bytes):
    """Pack a sample, and further members with their contents, into an archive."""

    def write(members=None):
        path = tmp_path / f"sets.{request.param}"
        files = dict.fromkeys(SAMPLE, image_bytes()) | (members or {})
        if request.param == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
        else:
            with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
                for name, content in files.items():
                    add(archive, tarfile.TarInfo(name), content)
        return path

    return write


def add(archive, member, content=b""):
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def test_data_sets_in_an_archive(pack, prepare, image_bytes):
    noise = {"__MACOSX/NLPR/test/rgb/._a.png": b"", "NLPR/readme.txt": b""}
    inside = {f"./SIP/{folder}/b.png": image_bytes() for folder in ("RGB", "depth", "GT")}
    files = prepare(pack(noise | inside))
    assert [name for name in files if name.endswith("png")] == [
        f"test/{name}.png"
        for name in ("NLPR/GT/a", "NLPR/RGB/a", "NLPR/depth/a")
        + ("SIP/GT/b", "SIP/RGB/b", "SIP/depth/b")
    ]
    assert files["test/SIP/depth/b.png"] == image_bytes()


@pytest.mark.parametrize(
    "name", ["../../RGB/evil.png", "/tmp/RGB/evil.png", "NLPR/../../RGB/a.png", "C:\\RGB\\a.png"]
)
def test_paths_out_of_the_archive(pack, prepare, contents_of, tmp_path, name):
    path = pack({name: b"evil"})
    with pytest.raises(DataError, match="a path that leads out of the archive"):
        prepare(path)
    assert set(contents_of(tmp_path)) == {path.name}


@pytest.mark.parametrize(
    "type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_file(prepare, tmp_path, type):
    with tarfile.open(tmp_path / "sets.tar", "w") as archive:
        member = tarfile.TarInfo("NLPR/RGB/a.png")
        member.type, member.linkname = type, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match=r"NLPR/RGB/a\.png: a link or a device"):
        prepare(tmp_path / "sets.tar")


def test_link_in_a_zip_file(prepare, tmp_path):
    with zipfile.ZipFile(tmp_path / "sets.zip", "w") as archive:
        member = zipfile.ZipInfo("NLPR/RGB/a.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match=r"NLPR/RGB/a\.png: a link or a device"):
        prepare(tmp_path / "sets.zip")


def test_members_that_are_too_large(pack, prepare, monkeypatch, contents_of, tmp_path):
    monkeypatch.setattr(source_file, "MAX_FILE_SIZE", 2**20)
    path = pack({"NLPR/test/rgb/b.png": bytes(2**20 + 1)})
    with pytest.raises(DataError, match=r"rgb/b\.png: 1 MiB, expected an image of at most 1 MiB"):
        prepare(path)
    assert set(contents_of(tmp_path)) == {path.name}


def test_zip_member_that_declares_another_size(prepare, tmp_path):
    path = tmp_path / "sets.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("NLPR/RGB/a.png", bytes(1000))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\1\2")
    content[entry + 24 : entry + 28] = (2**27).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"RGB/a\.png: .* bytes that claim to unpack to 134217728"):
        prepare(path)


def test_damaged_archives(pack, prepare, contents_of, tmp_path, image_bytes):
    path = pack({"NLPR/test/rgb/b.bmp": bytes(range(256)) * 400})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"sets\.[a-z.]+: cannot be read"):
        prepare(path)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match=r"sets\.[a-z.]+: cannot be read"):
        prepare(path)
    assert set(contents_of(tmp_path)) == {path.name}


def test_changed_byte_in_a_zip_file(prepare, tmp_path, image_bytes):
    path = tmp_path / "sets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in SAMPLE:
            archive.writestr(name, image_bytes())
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read .Bad CRC-32"):
        prepare(path)
