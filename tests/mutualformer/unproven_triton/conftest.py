"""Block sizes for the tests of the kernels."""

from collections.abc import Iterator

import pytest
from triton_kernels import CAN_RUN, use_blocks


@pytest.fixture(autouse=True)
def _no_tuning(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tune nothing: it would take minutes. Every block size has a test of its own."""
    if not CAN_RUN:
        yield
        return
    from mutualformer.unproven_triton import launch as triton_launch

    use_blocks(monkeypatch, (32, 32, 4, 1))
    yield
    triton_launch._tuned.cache_clear()
