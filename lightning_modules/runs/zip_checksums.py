"""Find damage in a zip file, as checkpoints are."""

import zipfile
from pathlib import Path


def describe_damage(path: Path) -> str | None:
    """Say what is wrong with a zip file by its checksums, which torch does not look at.

    Returns:
        None if it is whole. Its content may still be anything.

    Cost: reads the whole file, about a second per gigabyte.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile raises nearly anything for a damaged file
        return str(error) or type(error).__name__
    return damaged and f"the checksum of its part {damaged!a} is wrong"
