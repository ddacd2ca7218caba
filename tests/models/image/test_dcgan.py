"""DCGAN on images whose distribution is known."""

import math
from functools import partial

import pytest
import torch

import synthgen
from synthgen.errors import SynthgenError
from synthgen.layout import ImageLayout
from synthgen.models.adversarial import ADVERSARIAL_LOSSES, r1_penalty
from synthgen.models.image.dcgan import DCGAN
from synthgen.models.stages import EMA, Optimization
from synthgen.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from tests.models.image.toys import (
    check_greys,
    check_learned_by_heart,
    check_on_cuda,
    check_same_after_loading,
    check_unlabelled,
    eight,
    two_greys,
)
from tests.models.test_base import step_context

SMALL = ["network.generator.width=16", "network.discriminator.width=16", "callbacks=none", "trainer=cpu"]
PLAIN = [*SMALL, "model.augment=[]"]


@pytest.fixture(scope="module")
def fitted():
    images, labels = two_greys()
    return synthgen.fit(images, "image/dcgan", labels=labels, max_samples=10_000, batch_size=16, overrides=PLAIN)


def test_each_class_has_its_own_images_as_often_as_in_training(fitted):
    check_greys(fitted)


def test_saved_and_loaded_it_draws_the_same(fitted, tmp_path):
    check_same_after_loading(fitted, tmp_path / "greys")


def test_the_generator_alone_is_kept(fitted):
    assert fitted.model.trained_state().keys() == {f"stage0.{name}" for name in generator().state_dict()}


@pytest.mark.parametrize(("shape", "loss", "within"), [((3, 16, 16), "non_saturating", 30), ((5, 20, 28), "hinge", 50)])
def test_eight_images_are_learned_by_heart(shape, loss, within):
    images, labels = eight(*shape)
    overrides = [*PLAIN, f"model.loss={loss}", "model.generator_optimization.lr=0.002"]
    overrides += ["model.discriminator_optimization.lr=0.004"]
    fitted = synthgen.fit(images, "image/dcgan", labels=labels, max_samples=14_000, batch_size=16, overrides=overrides)
    check_learned_by_heart(fitted, images, within)


def test_images_need_no_labels():
    check_unlabelled("image/dcgan", SMALL)


def test_bf16_augmentation_and_r1_go_together():
    images, labels = two_greys()
    overrides = [*SMALL, "trainer.precision=bf16-mixed", "model.augment=[translation,cutout,color]", "model.r1=1.0"]
    fitted = synthgen.fit(images, "image/dcgan", labels=labels, max_samples=320, batch_size=32, overrides=overrides)
    assert all(torch.isfinite(value).all() for value in fitted.model.trained_state().values())


@pytest.mark.gpu
def test_on_cuda():
    check_on_cuda("image/dcgan", SMALL)


# The losses


def generator(**facts):
    return DCGANGenerator(**{"channels": 1, "height": 8, "image_width": 8, "classes": 2, "width": 16, **facts})


def model(**settings):
    torch.manual_seed(0)
    networks = partial(DCGANGenerator, width=8, latent=4), partial(DCGANDiscriminator, width=8)
    return DCGAN(ImageLayout(1, 8, 8, classes=2), *networks, Optimization(), Optimization(), EMA(), **settings)


def batch():
    drawn = torch.Generator().manual_seed(1)
    return {
        "image": torch.randint(0, 256, (6, 1, 8, 8), generator=drawn, dtype=torch.uint8),
        "label": torch.tensor([0, 1, 1, 0, 1, 0]),
    }


def seeded():
    return step_context([], generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("loss", ["hinge", "non_saturating"])
def test_both_sides_minimise_their_loss_of_the_scores_for_their_class(loss):
    gan, given = model(loss=loss), batch()
    stage, label = gan.stages[0], given["label"]
    stage.discriminator.eval()  # power iteration would make each pass another
    real = given["image"].float() / 127.5 - 1
    noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
    fake = stage.generator(noise, label)
    scores = [stage.discriminator(images, label) for images in (real, fake)]
    expected = ADVERSARIAL_LOSSES[loss]
    generated = stage.generate(stage.generator, given, seeded())
    torch.testing.assert_close(generated["image"], fake)
    sides = (
        (stage.generator_loss, expected.generator(scores[1])),
        (stage.discriminator_loss, expected.discriminator(*scores)),
    )
    for loss_of, by_hand in sides:
        torch.testing.assert_close(loss_of(stage.discriminator, given, generated, seeded()), by_hand)


def test_r1_is_half_its_weight_times_the_squared_gradient_at_real_images():
    plain, penalised, given = model(), model(r1=3.0), batch()
    losses = []
    for gan in (plain, penalised):
        stage = gan.stages[0]
        stage.discriminator.eval()
        generated = stage.generate(stage.generator, given, seeded())
        losses.append(stage.discriminator_loss(stage.discriminator, given, generated, seeded()))
    real = given["image"].float() / 127.5 - 1
    penalty = r1_penalty(lambda images: plain.stages[0].discriminator(images, given["label"]), real)
    torch.testing.assert_close(losses[1] - losses[0], 1.5 * penalty)


def test_real_and_generated_images_are_seen_through_the_same_augmentations():
    """Cutout of half the sides sets pixels to zero, which no real image here has."""
    gan, given = model(augment=["cutout"]), {"image": torch.full((6, 1, 8, 8), 255, dtype=torch.uint8)}
    seen = []
    stage = gan.stages[0]
    stage.discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    given["label"] = batch()["label"]
    generated = stage.generate(stage.generator, given, seeded())
    for side in (stage.generator_loss, stage.discriminator_loss):
        side(stage.discriminator, given, generated, seeded())
    assert [len(images) for images in seen] == [6, 12]
    for images in seen:
        assert ((images == 0).flatten(1).sum(dim=1) >= 4).all()


def test_the_generator_steps_through_the_discriminator_and_back():
    gan = model()
    stage = gan.stages[0]
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    losses = stage.training_step(batch(), step_context(stage.optimizers(), generator=torch.Generator().manual_seed(2)))
    assert all(math.isfinite(value) for value in losses.values())
    for part in (
        "generator.base.weight",
        "discriminator.score.parametrizations.weight.original",
        "average.base.weight",
    ):
        assert not torch.equal(stage.state_dict()[part], before[part])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "wasserstein"}, r"model.loss: unknown 'wasserstein': losses are"),
        ({"augment": ["colour"]}, r"model.augment: unknown 'colour'.*color"),
    ],
)
def test_unknown_names_are_told_with_the_nearest(settings, message):
    with pytest.raises(SynthgenError, match=message):
        model(**settings)
