"""Contract: a quickstart's recipes say all that was chosen, parse, and take what is overridden."""

import gin
import pytest

from babeldraw.cli import quickstart
from babeldraw.cli.main import parse
from babeldraw.cli.support import choosing, own_pictures, stage_recipes
from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.data.classes import Classes
from babeldraw.data.picture_files.content import Advice
from babeldraw.errors import UserError

CAPTIONS = tuple(f"a {word} dog" for word in ("brown", "black", "white"))


def choose(
    output, monkeypatch, *words, captions=CAPTIONS, train=400, held_out=32, side=40.0, classes=None
):
    """What is chosen for such a set; its pictures are not there."""
    advice = Advice("pad", "#e0e0e0", "of a test")
    seen = own_pictures.Look(
        "folder:/my/pictures", train, held_out, "validation", captions, train, side, advice, classes
    )
    monkeypatch.setattr(own_pictures, "look", lambda task, feature: seen)
    found = (output / "own.model", 700, True)
    monkeypatch.setattr(own_pictures, "find_vocabulary", lambda *_: found)
    monkeypatch.setattr(own_pictures, "text_length", lambda *_: 32)
    _, args = parse(["quickstart", *words])
    return choosing.choose(args, output, accelerated=False)


OWN = ("--data", "folder:/my/pictures")


def parsed(recipe, tmp_path):
    recipe.write(tmp_path / "draft.gin", "a command")
    parse_gin([str(tmp_path / "draft.gin")], [])
    return gin.query_parameter


def test_recipes_have_what_was_seen(tmp_path, monkeypatch):
    chosen = choose(tmp_path, monkeypatch, *OWN, "--seed=3")
    assert [recipe.stage for recipe in chosen.recipes] == ["tokenizer", "text_to_image"]
    assert chosen.vocabulary == tmp_path / "own.model"
    assert sum(chosen.seconds) <= 30 * 60
    for recipe in chosen.recipes:
        assert recipe.base == f"gin/rungs/cpu_{recipe.stage}.gin"
        value = parsed(recipe, tmp_path)
        assert value("%MIXTURE_OR_TASK_NAME") == "folder:/my/pictures"
        assert value("%TASK_FEATURE_LENGTHS") == {"text": 32, "image": 32}
        assert (value("%FIT"), value("%BACKGROUND")) == ("pad", "#e0e0e0")
        assert value("%IMAGE_SIZE") == 32  # 48 px would be enlarged
        assert value("%CODEBOOK_SIZE") == 1024  # 400 x 64 tokens, 25 for each
        assert (value("%MODEL_DIR"), value("%SEED")) == (str(recipe.directory), 3)
    assert value("%TEXT_VOCAB_SIZE") == 700
    assert value("%TOKENIZER_CHECKPOINT") == str(tmp_path / "tokenizer")
    said = " ".join(chosen.sentences)
    assert "rung cpu (30 minutes on CPUs), 32 px (about " in said
    assert "as 64 tokens of 4 x 4 px, 1024 codes" in said


def test_classes_take_the_place_of_captions(tmp_path, monkeypatch):
    found = Classes("class", ("cat", "dog", "owl"))
    words = (*OWN, "--classes", "--gin.CLASS_DROPOUT_RATE=0.3")
    chosen = choose(tmp_path, monkeypatch, *words, captions=(), classes=found)
    assert [recipe.stage for recipe in chosen.recipes] == ["tokenizer", "image_tokens"]
    assert chosen.vocabulary is None and len(chosen.seconds) == 2
    assert "3 classes by 'class', such as cat, dog, owl" in chosen.sentences
    value = parsed(chosen.recipes[1], tmp_path)
    assert value("%IMAGE_SIZE") == 32
    assert (value("%CLASS_FEATURE"), value("%NUM_CLASSES")) == ("class", 3)
    assert value("%CLASS_DROPOUT_RATE") == 0.3


def test_the_emoji_have_classes_of_their_own(tmp_path, monkeypatch):
    chosen = choose(tmp_path, monkeypatch, "--classes", "--gin.TRAIN_STEPS=7")
    assert [recipe.base for recipe in chosen.recipes] == [
        f"gin/runs/quickstart_{stage}.gin" for stage in ("tokenizer", "image_tokens")
    ]
    with pytest.raises(UserError, match="have a role each: give --classes alone"):
        choose(tmp_path, monkeypatch, "--classes=style")


def test_a_small_set_has_small_batches(tmp_path, monkeypatch):
    chosen = choose(tmp_path, monkeypatch, *OWN, train=40, held_out=5)
    for recipe in chosen.recipes:
        assert parsed(recipe, tmp_path)("%BATCH_SIZE") == 4


def test_without_captions_stage_1_alone(tmp_path, monkeypatch):
    # What is meant for the other stage is no mistake.
    chosen = choose(tmp_path, monkeypatch, *OWN, "--gin.DROPOUT_RATE=0.3", captions=())
    (recipe,) = chosen.recipes
    assert (recipe.stage, recipe.overrides) == ("tokenizer", [])
    assert chosen.vocabulary is None
    assert parsed(recipe, tmp_path)("%IMAGE_SIZE") == 32


def test_a_stage_takes_the_overrides_that_it_has(tmp_path, monkeypatch):
    overrides = ["--gin.BATCH_SIZE=2", "--gin.VQ_WEIGHT=0.5", "--gin.DROPOUT_RATE=0.25"]
    overrides.append("--gin.vit_vqgan.ViTVQGAN.code_dim=4")
    chosen = choose(tmp_path, monkeypatch, *OWN, *overrides)
    tokenizer, text_to_image = chosen.recipes
    assert [o.partition("=")[0] for o in tokenizer.overrides] == [
        *("BATCH_SIZE", "VQ_WEIGHT", "vit_vqgan.ViTVQGAN.code_dim")
    ]
    value = parsed(text_to_image, tmp_path)
    assert (value("%BATCH_SIZE"), value("%DROPOUT_RATE")) == (2, 0.25)
    assert value("babeldraw.models.vit_vqgan.ViTVQGAN.code_dim") == 4


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("--gin.BATCH_SISE=2", "did you mean BATCH_SIZE"),
        ("--gin.DROPOUT_RATE=high", "DROPOUT_RATE"),
        ("--gin.tokenizer.Tokenizer.l2_wieght=1.0", "l2_weight"),
    ],
)
def test_what_no_stage_has_or_one_refuses_is_said(override, says, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=says):
        choose(tmp_path, monkeypatch, *OWN, override)


def test_the_emoji_are_the_recipes_of_before(tmp_path, monkeypatch):
    chosen = choose(tmp_path, monkeypatch)
    assert (chosen.seconds, chosen.vocabulary) == ([], None)  # the recipes say the steps
    steps = []
    for recipe in chosen.recipes:
        assert recipe.base == f"gin/runs/quickstart_{recipe.stage}.gin"
        value = parsed(recipe, tmp_path)
        steps.append(value("%TRAIN_STEPS"))
        assert value("%MIXTURE_OR_TASK_NAME") == "emoji_quickstart_32"
    assert steps == [2200, 850]
    assert choose(tmp_path, monkeypatch, "--minutes=4").seconds
    with pytest.raises(UserError, match="give --size with --data"):
        choose(tmp_path, monkeypatch, "--size=64")


def test_a_folder_is_of_one_command(tmp_path):
    def check(*words):
        _, args = parse(["quickstart", *words])
        quickstart._check_request(args, tmp_path / "request.json")
        quickstart._keep_request(args, tmp_path / "request.json")

    check(*OWN, "--minutes=5")
    check(*OWN, "--minutes=5", "--gin.LOG_EVERY=10")
    with pytest.raises(UserError, match=r"was begun with --minutes 5.0: give the same"):
        check(*OWN, "--minutes=6")
    with pytest.raises(UserError, match=r"was begun with no --size: give the same"):
        check(*OWN, "--minutes=5", "--size=64")


def test_each_set_has_a_folder_of_its_own():
    names = {
        None: "runs/quickstart",
        "folder:/my/pictures": "runs/quickstart-pictures",
        "folder:/my/old pictures/": "runs/quickstart-old-pictures",
        "emoji_64": "runs/quickstart-emoji_64",
        "tfds:coco_captions/2014": "runs/quickstart-2014",
    }
    assert {data: quickstart._default_output(data, False) for data in names} == names
    assert quickstart._default_output(None, True) == "runs/quickstart-classes"


def test_the_file_says_who_wrote_it_and_why(tmp_path, monkeypatch):
    chosen = choose(tmp_path, monkeypatch, *OWN)
    text = chosen.recipes[0].text("babeldraw quickstart --data x", ["because of a trial"])
    assert text.startswith("# Written by `babeldraw quickstart --data x`.\n# because of a trial\n")
    assert stage_recipes.value("gin/rungs/cpu_tokenizer.gin", "REVIVE_EVERY") == 20
