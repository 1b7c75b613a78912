"""Contract: an exported folder draws its run's tokens without data, recipe and TensorFlow.

What is damaged, newer, or not there is one sentence, and nothing is unpickled.
"""

import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from babeldraw import api
from babeldraw.cli.main import main
from babeldraw.cli.support import named
from babeldraw.errors import UserError
from babeldraw.exporting import precision as rounding
from babeldraw.objectives.text_to_image import TextToImage
from babeldraw.training.keeping.init_from import InitFrom, read_start
from tests.cli import runs
from tests.quick import compiled_quickly  # noqa: F401

PROMPT = "a red apple"


def export(run, output, *arguments):
    assert main(["export", "--checkpoint", run, "--output", str(output), *arguments]) == 0
    return output


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs of every kind, and one folder with all of them."""
    folder = tmp_path_factory.mktemp("runs")
    writers = ("text_to_image", "coca", "super_resolution", "tokenizer")
    found = {name: getattr(runs, f"write_{name}")(folder) for name in writers}
    parts = ("--rerank", found["coca"], "--upscale", found["super_resolution"])
    found["whole"] = export(found["text_to_image"], folder / "whole", *parts)
    found["plain"] = export(found["text_to_image"], folder / "plain")
    # As every run of today has it; without it, a run asks its data, which brings TensorFlow.
    shutil.copy(found["plain"] / "vocabulary.model", found["text_to_image"])
    return found


@pytest.fixture
def damaged(made, tmp_path):
    return shutil.copytree(made["plain"], tmp_path / "damaged")


def refusal(path):
    with pytest.raises(UserError) as caught:
        api.load(path).draw(PROMPT)
    return str(caught.value)


WITHOUT = """
    import sys

    class Without:  # as where they are not installed
        def __init__(self, finder):
            self.finder = finder

        def __getattr__(self, name):
            return getattr(self.finder, name)

        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("tensorflow", "tensorflow_text", "seqio", "gin"):
                return None
            return self.finder.find_spec(name, path, target)

    sys.meta_path[:] = map(Without, sys.meta_path)
    import numpy as np
    import babeldraw

    assert "jax" not in sys.modules, "import babeldraw brings JAX"
    folder, run = map(babeldraw.load, sys.argv[1:])
    settings = dict(n=3, seed=5, guidance_weight=1.5)
    for prompt in ("a red apple", "ein Apfel \N{RED APPLE}"):
        ours, theirs = folder.draw(prompt, **settings), run.draw(prompt, **settings)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.tokens, other.tokens)
            np.testing.assert_array_equal(np.asarray(one.image), np.asarray(other.image))
            assert one.score == other.score
    assert folder.tokenize(ours[0].image).shape == (1, 20)
"""


def test_it_draws_what_its_run_draws_where_there_is_neither_tensorflow_nor_gin(made, tmp_path):
    moved = shutil.copytree(made["plain"], tmp_path / "elsewhere")
    command = [sys.executable, "-c", textwrap.dedent(WITHOUT), str(moved), made["text_to_image"]]
    subprocess.run(command, check=True, cwd=runs.pathlib.Path(__file__).parents[2])


def test_the_whole_orders_and_enlarges_as_the_command_does(made, tmp_path):
    whole, output = api.load(made["whole"]), tmp_path / "pictures"
    ours = whole.draw(PROMPT, n=3, seed=5)
    command = ["sample", PROMPT, "--num_samples=3", "--seed=5", "--output", str(output)]
    assert main([*command, "--checkpoint", str(made["whole"])]) == 0
    for rank, one in enumerate(ours):
        with api.Image.open(output / f"a-red-apple-{rank:02d}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(one.image))
            assert picture.text == one.metadata
    assert ours[0].image.size == (40, 32)
    similarities = [one.similarity for one in ours]
    assert similarities == sorted(similarities, reverse=True)
    plain = whole.draw(PROMPT, n=3, seed=5, plain=True)
    assert plain[0].image.size == (20, 16) and plain[0].similarity is None
    found = whole.score(PROMPT, [one.image for one in plain])
    assert found.shape == (1, 3)
    np.testing.assert_allclose(np.sort(found[0])[::-1], similarities, atol=1e-6)
    assert len(whole.caption(plain[0].image)) == 1


def test_a_tokenizer_and_a_coca_do_what_they_can(made, tmp_path):
    tokenizer = api.load(export(made["tokenizer"], tmp_path / "tokenizer"))
    picture = np.arange(16 * 20 * 3, dtype=np.uint8).reshape(16, 20, 3)
    np.testing.assert_array_equal(
        tokenizer.tokenize(picture), api.load(made["tokenizer"]).tokenize(picture)
    )
    assert tokenizer.reconstruct([picture])[0].size == (20, 16)
    with pytest.raises(UserError, match=r"exported model of tokenizer, and it takes another one"):
        tokenizer.draw(PROMPT)
    coca = api.load(export(made["coca"], tmp_path / "coca"))
    assert coca.caption(picture) == api.load(made["coca"]).caption(picture)
    with pytest.raises(UserError, match="turns pictures into tokens"):
        coca.tokenize(picture)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_rounded_weights_are_within_their_bounds(made, tmp_path, precision):
    folder = export(made["text_to_image"], tmp_path / "rounded", f"--precision={precision}")
    exact = api.load(made["plain"])._opened.folder.params("transformer")
    opened = api.load(folder)
    rounded = opened._opened.folder.params("transformer")
    for name, weight in rounding.flatten(exact).items():
        off = np.abs(rounding.flatten(rounded)[name] - weight)
        axes = rounding.input_axes(name, weight.ndim)
        if precision == "bfloat16":
            assert np.all(off <= np.abs(weight) * 2**-8), name
        elif axes:
            largest = np.max(np.abs(weight), axis=axes, keepdims=True)
            assert np.all(off <= largest / 127 * 0.501) and off.any(), name
        else:
            assert not off.any(), name
    assert opened.draw(PROMPT)[0].tokens.shape == (20,)


def test_channels_are_those_of_the_outputs():
    for name, ndim, axes in (
        ("decoder.layers.self_attention.query.kernel", 4, (1,)),
        ("decoder.layers.self_attention.output.kernel", 4, (1, 2)),
        ("caption_pooler.attention.output.kernel", 3, (0, 1)),
        ("stage_0_block_0.widen.kernel", 4, (0, 1, 2)),
        ("output.kernel", 4, (0, 1, 2)),
        ("logits.kernel", 2, (0,)),
        ("text_embedding.table", 2, (1,)),
        ("quantizer.codebook", 2, ()),
        ("decoder.norm.scale", 1, ()),
    ):
        assert rounding.input_axes(name, ndim) == axes, name


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_newer_version_and_other_files_are_refused(damaged, tmp_path):
    change(damaged, version=2)
    assert "is of version 2, and this Babeldraw" in refusal(damaged)
    change(damaged, version=1, networks={})
    assert "config.json is damaged" in refusal(damaged)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"architectures": ["T5"]}')
    assert "is not a run directory" in refusal(tmp_path / "other")


def test_a_file_outside_the_folder_is_refused(damaged):
    networks = json.loads((damaged / "config.json").read_text())["networks"]
    networks["tokenizer"]["file"] = "../tokenizer.safetensors"
    change(damaged, networks=networks)
    assert "config.json is damaged" in refusal(damaged)


def test_lying_and_damaged_safetensors_are_refused(damaged):
    file = damaged / "transformer.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["logits.kernel"]["shape"][0] *= 1000
    lying = json.dumps(header).encode()
    file.write_bytes(len(lying).to_bytes(8, "little") + lying + data[8 + length :])
    assert "transformer.safetensors is damaged" in refusal(damaged)
    file.write_bytes((2**62).to_bytes(8, "little") + data[8:])
    assert "transformer.safetensors is damaged" in refusal(damaged)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "their SHA-256 differ" in refusal(damaged)
    file.unlink()
    assert "transformer.safetensors cannot be read" in refusal(damaged)


def test_arrays_of_another_network_are_refused(damaged):
    networks = json.loads((damaged / "config.json").read_text())["networks"]
    networks["transformer"]["settings"]["mlp_dim"] = 25
    change(damaged, networks=networks)
    assert "the network of config.json" in refusal(damaged)
    networks["transformer"]["settings"]["class"] = "os:system"
    change(damaged, networks=networks)
    assert "does not have" in refusal(damaged)


def test_names_that_are_no_models(monkeypatch, made, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install huggingface_hub" in refusal("somebody/emoji")
    assert "is not a run directory" in refusal("nowhere")
    hub = type(sys)("huggingface_hub")
    hub.snapshot_download = lambda name, allow_patterns: str(made["plain"])
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    capsys.readouterr()
    assert "plain" in repr(api.load("somebody/emoji"))
    assert "there is no folder somebody/emoji: reading it from Hugging" in capsys.readouterr().err
    monkeypatch.setattr(named, "BOX", tmp_path)
    assert "brings no trained model" in refusal("emoji")


def test_mistakes_of_the_command(made, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    command = ["export", "--checkpoint", made["tokenizer"], "--output"]
    assert main([*command, str(tmp_path / "full")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "new"), "--format=stablehlo"]) == 2
    assert "draws no pictures" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_where_it_takes_a_run_its_run_is_named(made, tmp_path, capsys):
    folder, output = str(made["plain"]), ["--output", str(tmp_path / "new")]
    for line in (
        ["probe", "--checkpoint", folder, *output],
        ["evaluate", "--objective=text_encoder", "--checkpoint", folder, *output],
        ["export", "--checkpoint", folder, *output],
    ):
        assert main(line) == 2, line
        error = capsys.readouterr().err
        assert f"{folder} is an exported model" in error and "text_to_image)" in error
    tiny = TextToImage.__new__(TextToImage)
    with pytest.raises(UserError, match="give the run directory that it was exported from"):
        read_start(InitFrom(model_dir=folder), tiny, [], None)
    assert main(["evaluate", "--checkpoint", folder, *output]) == 2
    assert "give --images DIR" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_file_of_prompts_is_drawn_as_by_the_run(made, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("a red apple\na dog\n")
    for name in ("text_to_image", "whole"):
        line = ["sample", "--prompts", str(tmp_path / "prompts.txt"), "--num_samples=1"]
        line += ["--checkpoint", str(made[name]), "--output", str(tmp_path / name)]
        assert main(line) == 0
    assert "not ordered by its CoCa nor enlarged" in capsys.readouterr().err
    drawn = sorted((tmp_path / "whole" / "pictures").rglob("*.png"))
    assert len(drawn) == 2
    for file in drawn:
        same = tmp_path / "text_to_image" / file.relative_to(tmp_path / "whole")
        np.testing.assert_array_equal(Image.open(file), Image.open(same))


def test_the_layout_is_the_documented_one(made):
    arrays = safetensors.numpy.load_file(made["plain"] / "transformer.safetensors")
    kernel = arrays["decoder.layers.self_attention.query.kernel"]
    assert kernel.shape == (1, 16, 2, 8) and kernel.dtype == np.float32
    card = (made["whole"] / "README.md").read_text()
    assert "| super_resolution: enlarges drawn pictures |" in card
    assert all(str(part) not in card for part in made.values())


ALONE = """
    import sys

    sys.path.insert(0, sys.argv[1])
    import numpy as np
    from draw import draw

    assert not [name for name in sys.modules if name.startswith(("babeldraw", "flax"))]
    np.savez(sys.argv[2], **dict(zip(("pictures", "tokens"), draw([7, 9, 4], seed=5))))
"""


def test_the_program_draws_the_tokens_of_the_sampler_with_jax_alone(made, tmp_path):
    options = ("--format=stablehlo", "--num_samples=2", "--guidance_weight=1.5")
    folder = export(made["text_to_image"], tmp_path / "program", *options)
    code = textwrap.dedent(ALONE)
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "x.npz")]
    subprocess.run(command, check=True, cwd=tmp_path)
    found = np.load(tmp_path / "x.npz")
    condition = np.zeros((1, 16), np.int32)
    condition[0, :4] = 7, 9, 4, 1
    sampler = api.load(made["plain"])._opened.sampler(guidance_weight=1.5)
    samples = sampler.generate(condition, num_samples=2, seed=5)
    np.testing.assert_array_equal(found["tokens"], samples.tokens[0])
    off = found["pictures"].astype(int) - samples.images[0]
    assert np.abs(off).max() <= 1
