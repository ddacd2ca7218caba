"""What diffusion models over images share, on denoisers that say something simple."""

import math

import pytest
import torch
from torch import nn

from synthgen.errors import SynthgenError
from synthgen.layout import ImageLayout
from synthgen.models.image.denoising import DenoisingModel
from synthgen.models.image.encoding import NOTHING, Told
from synthgen.models.stages import EMA, GradientStage, Optimization

LAYOUT = ImageLayout(1, 4, 4, classes=2, class_shares=(0.5, 0.5))


class Constant(DenoisingModel):
    """Says ½ of images of class 1, −½ of class 0 and 0 of those of which nothing is told."""

    def __init__(self, layout=LAYOUT, **settings):
        stage = GradientStage(nn.Linear(1, 1), lambda *_: torch.zeros(()), Optimization(), EMA())
        given = {"label_dropout": 0.1, "sampler": "euler", "steps": 4, "guidance": 1.0}
        super().__init__([stage], layout, **{**given, "guidance_interval": (0.0, math.inf), **settings})
        self.seen = []

    def denoised(self, x, sigma, given):
        assert sigma.shape == (len(x),)
        self.seen.append((float(sigma[0]), given is NOTHING))
        if given.label is None:
            return torch.zeros_like(x)
        return (given.label.float() - 0.5)[:, None, None, None].expand_as(x)

    def sigmas(self, steps):
        return torch.linspace(steps, 0, steps + 1)


def drawn(model, **options):
    condition = {"label": torch.tensor([0, 1]), "label_known": torch.ones(2, dtype=torch.bool)}
    generator = torch.Generator().manual_seed(0)
    return model.sample_block(2, condition, generator, **options)["image"].float().mean(dim=(1, 2, 3)) / 127.5 - 1


def test_guidance_goes_away_from_what_is_said_when_nothing_is_told():
    torch.testing.assert_close(drawn(Constant()), torch.tensor([-0.5, 0.5]), atol=0.01, rtol=0)
    torch.testing.assert_close(drawn(Constant(guidance=1.5)), torch.tensor([-0.75, 0.75]), atol=0.01, rtol=0)
    torch.testing.assert_close(drawn(Constant(), guidance=0.0), torch.tensor([0.0, 0.0]), atol=0.01, rtol=0)


def test_outside_of_its_interval_there_is_no_guidance_and_no_evaluation_for_it():
    model = Constant(guidance=3.0, guidance_interval=(2.0, 3.0))
    drawn(model)
    assert model.seen == [(4.0, False), (3.0, False), (3.0, True), (2.0, False), (2.0, True), (1.0, False)]
    model.seen.clear()
    drawn(model, guidance_interval=(0.0, 1.0))
    assert [level for level, free in model.seen if free] == [1.0]


def test_without_classes_and_attributes_nothing_is_guided():
    model = Constant(ImageLayout(1, 4, 4), guidance=3.0)
    images = model.sample_block(2, None, torch.Generator().manual_seed(0))["image"]
    assert len(model.seen) == 4
    assert (images == 128).all()


def test_in_training_nothing_is_told_of_a_share_of_the_images():
    batch = {"image": torch.zeros(4000, 1, 4, 4), "label": torch.ones(4000, dtype=torch.long)}
    given = Constant(label_dropout=0.2).told_in_training(batch, torch.Generator().manual_seed(0))
    assert ((given.label == 2).float().mean() - 0.2).abs() < 0.02
    assert Constant(ImageLayout(1, 4, 4)).told_in_training(batch, torch.Generator()) == Told(batch["label"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_dropout": 1.5}, r"label_dropout: found 1\.5"),
        ({"steps": 0}, "steps: found 0, expected more than 0"),
        ({"sampler": "eulr"}, "sampler: unknown 'eulr'.*'euler'"),
        ({"guidance_interval": (3.0, 2.0)}, r"guidance_interval: found \[3\.0, 2\.0\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(SynthgenError, match=message):
        Constant(**settings)
    if "label_dropout" not in settings:
        with pytest.raises(SynthgenError, match=message):
            drawn(Constant(), **settings)
