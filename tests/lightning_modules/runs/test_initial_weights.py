"""A new training that begins with the weights of another: what is taken, what is named, refused."""

from pathlib import Path

import pytest
import torch
import yaml
from break_at import load
from own_parts import TwoLayers
from safetensors.torch import save_file
from small_fit import fit

from lightning_modules import SaliencyModule
from lightning_modules.main import main
from lightning_modules.runs.exported_network import build_network
from lightning_modules.runs.initial_weights import load_initial_weights
from mutualformer import MutualFormerNetwork
from mutualformer.errors import UserError

NO_STEP = ["--model.optimizer.lr=0", "--model.optimizer.weight_decay=0"]
OURS = {"encoder_name": "tu-test_efficientnet", "fusion_strides": (32,), "fusion_dim": 16}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert fit(folder) == 0
    return folder


def test_all_forms_of_weights_give_the_same_network(trained: Path, tmp_path: Path) -> None:
    checkpoint = load(trained, "best")
    network = TwoLayers(4)
    network.load_state_dict(build(checkpoint, trained).state_dict())
    torch.save(network.state_dict(), tmp_path / "state.pth")
    torch.save({"state_dict": network.state_dict()}, tmp_path / "nested.pth")
    save_file(network.state_dict(), tmp_path / "state.safetensors")
    compiled = {name.replace("network.", "network._orig_mod."): x for name, x in
                checkpoint["state_dict"].items()}  # fmt: skip
    torch.save({"state_dict": compiled}, tmp_path / "compiled.ckpt")
    sources = [*tmp_path.iterdir(), trained, trained / "checkpoints" / "best.ckpt"]
    assert len(sources) == 6
    for source in sources:
        module = SaliencyModule(TwoLayers(4))
        load_initial_weights(module, str(source))
        torch.testing.assert_close(module.network.state_dict(), network.state_dict())


def build(checkpoint: dict, path: Path) -> torch.nn.Module:
    return build_network(checkpoint, path, modules=["own_parts"])


def test_a_training_begins_with_them_at_step_0(trained: Path, tmp_path: Path) -> None:
    """With a fresh optimiser and schedule, in a run whose settings say so."""
    for init in (trained, trained / "checkpoints" / "last.ckpt"):
        folder = tmp_path / init.name
        assert fit(folder, f"--model.init_from={init}", *NO_STEP) == 0
        ours, theirs = load(folder), load(trained)
        assert ours["global_step"] == 3
        torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], rtol=0, atol=0)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["model"]["init_args"]["init_from"] == str(init)
        assert ours["provenance"]["config"]["model"]["init_args"]["init_from"] == str(init)


def test_they_are_not_read_again(trained: Path, tmp_path: Path) -> None:
    """The run continues, and is tested, without the file that it began with."""
    weights, folder = tmp_path / "weights.ckpt", tmp_path / "run"
    weights.write_bytes((trained / "checkpoints" / "best.ckpt").read_bytes())
    option = f"--model.init_from={weights}"
    assert fit(folder, option) == 0
    weights.unlink()
    assert fit(folder, option, "--trainer.max_epochs=2") == 0
    assert load(folder)["global_step"] == 6
    assert main(["test", f"--config={folder / 'config.yaml'}"]) == 0


def test_a_run_that_began_with_them_is_continued_elsewhere(trained: Path, tmp_path: Path) -> None:
    """By its own config.yaml, which names them."""
    assert fit(tmp_path / "run", f"--model.init_from={trained}") == 0
    config = f"--config={tmp_path / 'run' / 'config.yaml'}"
    options = ["--trainer.max_epochs=2", f"--trainer.default_root_dir={tmp_path / 'new'}"]
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert main(["fit", config, *options, f"--ckpt_path={last}"]) == 0
    assert load(tmp_path / "new")["global_step"] == 6


def test_another_head_is_left_out_and_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    theirs = MutualFormerNetwork(**OURS, decoder_dim=32)
    theirs.save_pretrained(tmp_path / "export")
    module = SaliencyModule(MutualFormerNetwork(**OURS, decoder_dim=64, decoder_name="segformer"))
    decoder = {x: v.clone() for x, v in module.network.decoder.state_dict().items()}
    load_initial_weights(module, str(tmp_path / "export"))
    for part in ("encoders", "embeddings", "blocks"):
        taken, given = (getattr(x, part).state_dict() for x in (module.network, theirs))
        torch.testing.assert_close(taken, given, rtol=0, atol=0)
    torch.testing.assert_close(module.network.decoder.state_dict(), decoder, rtol=0, atol=0)
    (line,) = [x for x in caplog.messages if x.startswith("Weights from")]
    assert "of the others" in line and "missing (network.decoder." in line


def test_a_part_of_a_network_is_enough(tmp_path: Path) -> None:
    first = {
        f"first.{name}": torch.ones_like(x) for name, x in TwoLayers(4).first.named_parameters()
    }
    torch.save(first, tmp_path / "part.pth")
    module = SaliencyModule(TwoLayers(4))
    load_initial_weights(module, str(tmp_path / "part.pth"))
    assert all(x.eq(1).all() for x in module.network.first.parameters())
    assert not any(x.eq(1).all() for x in module.network.second.parameters())


def test_what_gives_no_weights_is_refused_before_anything_is_written(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.save({"other": torch.ones(2)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.ckpt").write_text("none")
    last = trained / "checkpoints" / "last.ckpt"
    for options, words in (
        ([f"--model.init_from={tmp_path / 'other.pth'}"], "none fits the network: 4 are missing"),
        ([f"--model.init_from={tmp_path / 'list.pth'}"], "holds no parameters by name"),
        ([f"--model.init_from={tmp_path / 'text.ckpt'}"], "text.ckpt cannot be read"),
        ([f"--model.init_from={tmp_path / 'nowhere'}"], "there is no folder"),
        ([f"--model.init_from={tmp_path}"], "no checkpoint in"),
        ([f"--model.init_from={last}", f"--ckpt_path={last}"], "expected one of them"),
    ):
        with pytest.raises(SystemExit, match="2"):
            fit(tmp_path / "run", "--trainer.max_epochs=2", *options)
        (message,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith("error: ")]
        assert words in message
        assert not (tmp_path / "run").exists()


def test_in_python_too(tmp_path: Path) -> None:
    torch.save({"other": torch.ones(2)}, tmp_path / "other.pth")
    module = SaliencyModule(TwoLayers(4), init_from=str(tmp_path / "other.pth"))
    with pytest.raises(UserError, match="none fits"):
        module.load_initial_weights()
