"""What may be asked, field by field: OpenAI's names, and ours beside them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_PICTURES = 10
"""Of one request, as in OpenAI's."""
MOST_TERMS = 3
"""Further texts of one request."""
MOST_CHARACTERS = 4000
"""Of a text; a model reads far less."""
MOST_LOOKS = 15

Text = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
Weight = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Picture = Annotated[str, Field(description="a picture file in base64", min_length=1)]
Pictures = Annotated[list[Picture], Field(min_length=1, max_length=16)]


class Asked(BaseModel):
    """Fields that are not ours are refused: what is not done is not passed over in silence."""

    model_config = ConfigDict(extra="forbid", strict=False)

    model: Annotated[str | None, Field(max_length=200)] = None
    user: Annotated[str | None, Field(max_length=200, description="not used")] = None


class Term(BaseModel):
    """A further text, below 0 for "without"."""

    model_config = ConfigDict(extra="forbid")

    text: Text
    weight: Weight


class Drawing(Asked):
    """What generations and edits have in common."""

    prompt: Text
    n: Annotated[int, Field(ge=1, le=MOST_PICTURES)] = 1
    size: Annotated[
        str, Field(max_length=20, description="WIDTHxHEIGHT; auto: enlarged, if the model can")
    ] = "auto"
    response_format: Literal["b64_json"] = "b64_json"
    output_format: Literal["png"] = "png"
    quality: Literal["auto", "standard"] = "auto"
    background: Literal["auto", "opaque"] = "auto"
    moderation: Literal["auto"] = "auto"
    stream: bool = False
    partial_images: Annotated[
        int, Field(ge=0, le=MOST_LOOKS, description="of each picture, while it is drawn")
    ] = 0
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    guidance_weight: Weight = 1.0
    temperature: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 1.0
    cutoff: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    rerank: Annotated[bool, Field(description="the best first, as the server's CoCa sees it")] = (
        False
    )


class Generation(Drawing):
    """Of `/v1/images/generations`."""

    terms: Annotated[list[Term], Field(max_length=MOST_TERMS)] = []


class Edit(Drawing):
    """Of `/v1/images/edits`, beside its files `image` and `mask`."""

    rows: Annotated[
        int | None, Field(ge=1, le=1000, description="rows of tokens that stay, from the top")
    ] = None
    box: Annotated[
        str | None,
        Field(
            pattern=r"^\d{1,5},\d{1,5},\d{1,5},\d{1,5}$",
            description="LEFT,TOP,WIDTH,HEIGHT to draw anew, in pixels of the model's pictures",
        ),
    ] = None


class Tokenize(Asked):
    """Of `/v1/tokenize`."""

    images: Pictures


class Detokenize(Asked):
    """Of `/v1/detokenize`."""

    tokens: Annotated[
        list[Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=2**14)]],
        Field(min_length=1, max_length=16),
    ]


class Look(Asked):
    """Of `/v1/caption` and `/v1/classify`."""

    images: Pictures


class Score(Asked):
    """Of `/v1/score`."""

    images: Pictures
    prompt: Text


class Learn(Asked):
    """Of `/v1/fine_tuning/jobs`, beside its files `image`."""

    word: Annotated[
        str,
        Field(
            min_length=1,
            max_length=60,
            description="what the pictures have in common, as 'my cat': prompts with it draw it",
        ),
    ]
    caption: Annotated[
        list[Annotated[str, Field(max_length=300)]],
        Field(description="what each picture shows beside that; one a picture, or none at all"),
    ] = []
