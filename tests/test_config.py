import pytest

from ocrformer.config import DecodeOptions, ModelConfig


def test_round_trip_through_plain_values():
    config = ModelConfig(blocks=(2, 4, 2), rows=1)
    values = {key: list(v) if isinstance(v, tuple) else v for key, v in config.to_dict().items()}  # as JSON gives them
    assert ModelConfig.from_dict(values) == config


def test_unknown_key_is_an_error():
    with pytest.raises(ValueError, match="encoder_leyers"):
        ModelConfig.from_dict({"encoder_leyers": 3})


@pytest.mark.parametrize(
    "wrong",
    [{"height": 30}, {"d_model": 100}, {"rows": 3}, {"d_model": 0}, {"channels": (0, 1, 1)}, {"blocks": (1, -1, 1)}],
)
def test_impossible_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        ModelConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "magic"},
        {"beam_width": 0},
        {"batch_pixels": 0},
        {"beam_width": True},
        {"boxes": "no"},
        {"second_look": 1},
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        DecodeOptions(**wrong)
