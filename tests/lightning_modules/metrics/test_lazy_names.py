"""Names of the package are loaded on use, and are what they are called."""

import subprocess
import sys

import lightning_modules.metrics as metrics


def test_the_package_loads_no_torch_and_every_name_of_it_can_be_had() -> None:
    code = (
        "import sys, lightning_modules.metrics.protocol\n"
        "from lightning_modules.metrics import PROTOCOL\n"
        "assert 'PySODMetrics' in PROTOCOL and 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for name in metrics.__all__:
        value = getattr(metrics, name)
        assert isinstance(value, str) or value.__name__ == name
