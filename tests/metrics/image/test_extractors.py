"""Extractors on random weights in the published files' names and shapes, beside torch's and torchvision's networks."""

import hashlib
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import inception

from synthgen.errors import SynthgenError
from synthgen.metrics.image.extractors import (
    CLIPExtractor,
    DINOv2Extractor,
    InceptionExtractor,
    extracted,
    resized,
)
from tests.images import digits, digits_classifier


def saved(folder, tensors, name="weights.pth"):
    file = folder / name
    torch.save(tensors, file)
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


def random_tensors(shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


def pictures(count=3, channels=3, size=(32, 32)):
    return np.random.default_rng(0).integers(0, 256, (count, channels, *size)).astype(np.uint8)


# Inception


@pytest.fixture(scope="module")
def inception_tensors():
    torch.manual_seed(0)
    network = inception.inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.1)  # so that signals do not fade on their way
    # The published file was written before batches were counted.
    return {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def inception_file(inception_tensors, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("inception"), inception_tensors)


def by_torchvision(tensors, images, patch):
    """Pooled features of torchvision's network, its average pools replaced if asked for."""
    network = inception.inception_v3(num_classes=1008, aux_logits=False, init_weights=False).eval()
    network.load_state_dict(tensors, strict=False)
    network.fc = nn.Identity()
    pool = SimpleNamespace(now=partial(functional.avg_pool2d, count_include_pad=False))
    network.Mixed_7c.register_forward_pre_hook(lambda *_: setattr(pool, "now", functional.max_pool2d))
    if patch is not None:
        patch.setattr(inception, "F", SimpleNamespace(**vars(functional)))
        patch.setattr(inception.F, "avg_pool2d", lambda x, **how: pool.now(x, **how))
    with torch.inference_mode():
        return network((images - 128) / 128).numpy()


def test_inception_is_torchvisions_but_for_its_pools(inception_tensors, inception_file, monkeypatch):
    file, digest = inception_file
    extractor = InceptionExtractor(file, sha256=digest, resize="bilinear")
    assert extractor.name == f"inception-{digest[:8]}-bilinear299"
    assert extractor.digest == digest
    images = pictures()
    pixels = functional.interpolate(
        torch.from_numpy(images).float(), (299, 299), mode="bilinear", antialias=True, align_corners=False
    )
    found = extractor.features(images)
    assert found.shape == (3, 2048)
    with monkeypatch.context() as patch:
        expected = by_torchvision(inception_tensors, pixels, patch)
    assert expected.std(0).mean() > 1e-3  # the images are told apart
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.std())
    assert np.abs(found - by_torchvision(inception_tensors, pixels, None)).max() > 0.05 * expected.std()


@pytest.mark.parametrize("resize", ["legacy", "bilinear"])
def test_inception_against_torchmetrics(inception_file, resize):
    pytest.importorskip("torch_fidelity")
    from torchmetrics.image.fid import NoTrainInceptionV3

    file, digest = inception_file
    reference = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(file), antialias=resize == "bilinear")
    with torch.inference_mode():
        expected = reference(torch.from_numpy(pictures())).numpy()
    found = InceptionExtractor(file, sha256=digest, resize=resize).features(pictures())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.std())


# DINOv2


def dinov2_shapes(width=128, depth=2, grid=37):
    block = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "ls1.gamma": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (4 * width, width),
        "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width),
        "mlp.fc2.bias": (width,),
        "ls2.gamma": (width,),
    }
    return {
        "cls_token": (1, 1, width),
        "pos_embed": (1, grid * grid + 1, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        **{f"blocks.{i}.{name}": shape for i in range(depth) for name, shape in block.items()},
        "norm.weight": (width,),
        "norm.bias": (width,),
    }


def encoder_layer(tensors, names, activation, eps, scales=(1, 1)):
    """torch's own pre-norm transformer layer with a block's weights; a scale of what is added goes into its matrix."""
    layer_width = tensors[names["norm1"] + ".weight"].numel()
    layer = nn.TransformerEncoderLayer(
        layer_width, layer_width // 64, 4 * layer_width, 0, activation, eps, batch_first=True, norm_first=True
    )
    attention, (first, second) = layer.self_attn, scales
    state = {
        "self_attn.in_proj_weight": tensors[names["qkv_weight"]],
        "self_attn.in_proj_bias": tensors[names["qkv_bias"]],
        "self_attn.out_proj.weight": tensors[names["out"] + ".weight"] * torch.as_tensor(first).reshape(-1, 1),
        "self_attn.out_proj.bias": tensors[names["out"] + ".bias"] * first,
        "linear1.weight": tensors[names["up"] + ".weight"],
        "linear1.bias": tensors[names["up"] + ".bias"],
        "linear2.weight": tensors[names["down"] + ".weight"] * torch.as_tensor(second).reshape(-1, 1),
        "linear2.bias": tensors[names["down"] + ".bias"] * second,
        **{
            f"{norm}.{part}": tensors[f"{names[norm]}.{part}"]
            for norm in ("norm1", "norm2")
            for part in ("weight", "bias")
        },
    }
    layer.load_state_dict(state)
    assert attention.num_heads == layer_width // 64
    return layer.eval()


def dinov2_by_torch(tensors, pixels, positions):
    tokens = functional.conv2d(pixels, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], stride=14)
    tokens = torch.cat([tensors["cls_token"].expand(len(pixels), 1, -1), tokens.flatten(2).mT], 1) + positions
    for i in range(2):
        block = f"blocks.{i}."
        names = {
            "norm1": block + "norm1",
            "norm2": block + "norm2",
            "qkv_weight": block + "attn.qkv.weight",
            "qkv_bias": block + "attn.qkv.bias",
            "out": block + "attn.proj",
            "up": block + "mlp.fc1",
            "down": block + "mlp.fc2",
        }
        scales = (tensors[block + "ls1.gamma"], tensors[block + "ls2.gamma"])
        tokens = encoder_layer(tensors, names, functional.gelu, 1e-6, scales)(tokens)
    return functional.layer_norm(tokens[:, 0], (128,), tensors["norm.weight"], tensors["norm.bias"], 1e-6)


def imagenet(pixels):
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels / 255 - mean[:, None, None]) / deviation[:, None, None]


def test_dinov2_against_torchs_transformer(tmp_path):
    tensors = random_tensors(dinov2_shapes())
    for name in tensors:
        if name.endswith(("norm1.weight", "norm.weight", "gamma")):
            tensors[name] += 1  # so that where positions are read makes a difference
    tensors["pos_embed"] *= 10
    file, digest = saved(tmp_path, tensors)
    extractor = DINOv2Extractor(file, sha256=digest)
    assert extractor.name == f"dinov2-{digest[:8]}-bicubic224"
    images = pictures(size=(224, 224))
    # What facebookresearch's interpolate_pos_encoding does for 16 of 37 patches a side.
    known = tensors["pos_embed"][:, 1:].reshape(1, 37, 37, 128).permute(0, 3, 1, 2)
    found = functional.interpolate(known, scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic")
    positions = torch.cat([tensors["pos_embed"][:, :1], found.permute(0, 2, 3, 1).reshape(1, -1, 128)], 1)
    with torch.no_grad():
        expected = dinov2_by_torch(tensors, imagenet(torch.from_numpy(images).float()), positions).numpy()
        around = functional.interpolate(known, (16, 16), mode="bicubic").permute(0, 2, 3, 1).reshape(1, -1, 128)
        positions = torch.cat([tensors["pos_embed"][:, :1], around], 1)
        without = dinov2_by_torch(tensors, imagenet(torch.from_numpy(images).float()), positions).numpy()
    assert expected.shape == (3, 128)
    assert np.abs(without - expected).max() > 0.01
    np.testing.assert_allclose(extractor.features(images), expected, rtol=1e-3, atol=1e-4)


def test_dinov2_keeps_positions_that_fit(tmp_path):
    tensors = random_tensors(dinov2_shapes(grid=16))
    file, digest = saved(tmp_path, tensors)
    images = pictures(size=(224, 224))
    with torch.no_grad():
        pixels = imagenet(torch.from_numpy(images).float())
        expected = dinov2_by_torch(tensors, pixels, tensors["pos_embed"]).numpy()
    np.testing.assert_allclose(DINOv2Extractor(file, sha256=digest).features(images), expected, rtol=1e-3, atol=1e-4)


# CLIP


def clip_shapes(width=128, depth=2, patch=8, grid=4, features=32):
    block = {
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
    }
    return {
        "class_embedding": (width,),
        "positional_embedding": (grid * grid + 1, width),
        "proj": (width, features),
        "conv1.weight": (width, 3, patch, patch),
        "ln_pre.weight": (width,),
        "ln_pre.bias": (width,),
        **{f"transformer.resblocks.{i}.{name}": shape for i in range(depth) for name, shape in block.items()},
        "ln_post.weight": (width,),
        "ln_post.bias": (width,),
    }


def clip_by_torch(tensors, images):
    pixels = torch.from_numpy(images).float() / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    pixels = (pixels - mean) / torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    tokens = functional.conv2d(pixels, tensors["conv1.weight"], stride=8).flatten(2).mT
    tokens = torch.cat([tensors["class_embedding"].expand(len(pixels), 1, -1), tokens], 1)
    tokens = tokens + tensors["positional_embedding"]
    tokens = functional.layer_norm(tokens, (128,), tensors["ln_pre.weight"], tensors["ln_pre.bias"])
    for i in range(2):
        block = f"transformer.resblocks.{i}."
        names = {
            "norm1": block + "ln_1",
            "norm2": block + "ln_2",
            "qkv_weight": block + "attn.in_proj_weight",
            "qkv_bias": block + "attn.in_proj_bias",
            "out": block + "attn.out_proj",
            "up": block + "mlp.c_fc",
            "down": block + "mlp.c_proj",
        }
        tokens = encoder_layer(tensors, names, lambda x: x * torch.sigmoid(1.702 * x), 1e-5)(tokens)
    return (
        functional.layer_norm(tokens[:, 0], (128,), tensors["ln_post.weight"], tensors["ln_post.bias"])
        @ tensors["proj"]
    )


@pytest.fixture(scope="module")
def clip_tensors():
    tensors = random_tensors(clip_shapes())
    for name in tensors:
        if name.startswith("ln_") or ".ln_" in name:
            tensors[name] += name.endswith("weight")
    return tensors


def test_clip_against_torchs_transformer(clip_tensors, tmp_path):
    with torch.no_grad():
        expected = clip_by_torch(clip_tensors, pictures()).numpy()
    file, digest = saved(tmp_path, clip_tensors)
    extractor = CLIPExtractor(file, sha256=digest)
    assert extractor.name == f"clip-{digest[:8]}-bicubic32"
    np.testing.assert_allclose(extractor.features(pictures()), expected, rtol=1e-3, atol=1e-4)
    # A whole CLIP carries the same under another name, beside a text half, in half precision.
    whole = {f"visual.{name}": value.half() for name, value in clip_tensors.items()}
    file, digest = saved(tmp_path, {**whole, "token_embedding.weight": torch.zeros(4, 4)}, "whole.pth")
    found = CLIPExtractor(file, sha256=digest).features(pictures())
    np.testing.assert_allclose(found, expected, atol=0.02 * expected.std())


class Nested(nn.Module):
    """A module that holds tensors under dotted names."""

    def __init__(self, tensors):
        super().__init__()
        parts = {}
        for name, value in tensors.items():
            head, _, rest = name.partition(".")
            if rest:
                parts.setdefault(head, {})[rest] = value
            else:
                self.register_buffer(name, value)
        for head, inside in parts.items():
            self.add_module(head, Nested(inside))

    def forward(self):
        return 0


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:'torch.load' received a zip file")
def test_a_program_is_opened_only_when_it_is_the_published_one(clip_tensors, tmp_path, monkeypatch):
    file = tmp_path / "ViT-B-32.pt"
    torch.jit.script(Nested({f"visual.{name}": value for name, value in clip_tensors.items()})).save(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(SynthgenError, match="cannot be read as names and tensors"):
        CLIPExtractor(file, sha256=digest)
    monkeypatch.setattr(CLIPExtractor, "published", {digest: file.name})
    plain, plain_digest = saved(tmp_path, clip_tensors)
    expected = CLIPExtractor(plain, sha256=plain_digest).features(pictures())
    np.testing.assert_array_equal(CLIPExtractor(file).features(pictures()), expected)


# All of them


def test_grey_images_are_repeated_and_batches_do_not_matter(clip_tensors, tmp_path):
    file, digest = saved(tmp_path, clip_tensors)
    extractor = CLIPExtractor(file, sha256=digest)
    grey = pictures(40, 1, (20, 28))
    grey.flags.writeable = False
    found = extractor.features(grey)
    np.testing.assert_allclose(found, extractor.features(np.repeat(grey, 3, 1)), atol=1e-5)
    np.testing.assert_allclose(found[35:], extractor.features(grey[35:]), atol=1e-5)


def test_many_images_are_extracted_with_progress():
    classifier, ((images, _), _) = digits_classifier(), digits()
    seen = []
    found = extracted(classifier, images, seen.append)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, classifier.features(images), atol=1e-5)
    assert seen == [1024 / len(images), 1]
    with pytest.raises(SynthgenError, match="no images"):
        extracted(classifier, images[:0])


def test_legacy_resizing_is_linear_interpolation_from_the_corner():
    image = np.random.default_rng(1).uniform(0, 255, (7, 12))
    found = resized(torch.from_numpy(image)[None, None], 30, "legacy")[0, 0].numpy()
    rows = np.array([np.interp(np.arange(30) * 7 / 30, np.arange(7), column) for column in image.T]).T
    expected = np.array([np.interp(np.arange(30) * 12 / 30, np.arange(12), row) for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-3)  # places are single precision
    smaller = resized(torch.from_numpy(image)[None, None], 6, "legacy")[0, 0].numpy()
    np.testing.assert_allclose(smaller[0], image[0, ::2])  # pixels between are skipped


def test_resizing_against_pillow():
    from PIL import Image

    image = np.random.default_rng(2).uniform(0, 255, (50, 40)).astype(np.float32)
    for way, filter in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        for size in (17, 80):
            found = resized(torch.from_numpy(image)[None, None], size, way)[0, 0].numpy()
            expected = np.asarray(Image.fromarray(image).resize((size, size), filter))
            np.testing.assert_allclose(found, expected.clip(0, 255), atol=1e-3)


@pytest.mark.parametrize("resize", ["legacy", "bilinear", "bicubic"])
def test_images_of_the_right_size_are_left_alone(resize):
    images = torch.from_numpy(pictures()).float()
    torch.testing.assert_close(resized(images, 32, resize), images, rtol=0, atol=1e-3)


def test_wrong_files(inception_tensors, tmp_path, monkeypatch):
    tensors = random_tensors(dinov2_shapes())
    file, digest = saved(tmp_path, tensors, "dinov2_vits14_pretrain.pth")
    with pytest.raises(SynthgenError, match=r"no such weights file; did you mean 'dinov2_vits14_pretrain.pth'\?"):
        DINOv2Extractor(tmp_path / "dinov2_vits14_pretrian.pth")
    with pytest.raises(SynthgenError, match=f"expected SHA-256 {'0' * 64}, found {digest}"):
        DINOv2Extractor(file, sha256="0" * 64)
    with pytest.raises(
        SynthgenError, match=rf"is {digest}, which is none of the published dinov2 files: .*\(b938bf1b…\)"
    ):
        DINOv2Extractor(file)
    monkeypatch.setattr(DINOv2Extractor, "published", {digest: file.name})
    assert DINOv2Extractor(file).digest == digest
    with pytest.raises(SynthgenError, match="did you mean 'bicubic'"):
        DINOv2Extractor(file, resize="bicubik")

    def refused(kind, tensors, message):
        file, digest = saved(tmp_path, tensors)
        with pytest.raises(SynthgenError, match=message):
            kind(file, sha256=digest)

    without = {name: value for name, value in tensors.items() if name != "blocks.1.ls1.gamma"}
    refused(DINOv2Extractor, without, "needs a tensor 'blocks.1.ls1.gamma': did you mean 'blocks.1.ls2.gamma'")
    refused(
        DINOv2Extractor, {**tensors, "norm.bias": torch.zeros(7)}, re.escape("'norm.bias' of shape (128,), found (7,)")
    )
    refused(DINOv2Extractor, {**tensors, "register_tokens": torch.zeros(1, 4, 128)}, "has no tensor 'register_tokens'")
    refused(DINOv2Extractor, {"pos_embed": torch.zeros(3)}, "needs a tensor 'patch_embed.proj.weight'")
    refused(DINOv2Extractor, {**tensors, "pos_embed": torch.zeros(3)}, "'pos_embed' with 3 dimensions")
    refused(InceptionExtractor, {**inception_tensors, "AuxLogits.fc.bias": torch.zeros(8)}, "has no tensor 'AuxLogits")
    refused(InceptionExtractor, [1, 2], "expected names and tensors")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not a file of tensors")
    with pytest.raises(SynthgenError, match="cannot be read"):
        InceptionExtractor(broken, sha256=hashlib.sha256(broken.read_bytes()).hexdigest())


def test_a_file_that_runs_something_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("this must never be seen",))

    file, digest = saved(tmp_path, {"trap": Trap()})
    with pytest.raises(SynthgenError, match="cannot be read as names and tensors"):
        InceptionExtractor(file, sha256=digest)


def test_wrong_images(clip_tensors, tmp_path):
    file, digest = saved(tmp_path, clip_tensors)
    extractor = CLIPExtractor(file, sha256=digest)
    with pytest.raises(SynthgenError, match="expected uint8 images"):
        extractor.features(pictures() / 255)
    with pytest.raises(SynthgenError, match="1 or 3 channels, found 4"):
        extractor.features(pictures(channels=4))
    with pytest.raises(SynthgenError, match="did you mean 'legacy'"):
        resized(torch.zeros(1, 1, 4, 4), 8, "legasy")


@pytest.mark.gpu
def test_features_are_the_same_on_a_gpu(inception_file):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    file, digest = inception_file
    expected = InceptionExtractor(file, sha256=digest).features(pictures())
    found = InceptionExtractor(file, sha256=digest, device="cuda").features(pictures())
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.std())


def test_clips_that_divide_into_other_heads_are_refused(tmp_path):
    file, digest = saved(tmp_path, random_tensors(clip_shapes(width=1280, depth=1)))
    with pytest.raises(SynthgenError, match="found a CLIP of width 1280, expected OpenAI's"):
        CLIPExtractor(file, sha256=digest)


def test_matrix_products_are_exact_and_left_as_they_were(clip_tensors, tmp_path):
    file, digest = saved(tmp_path, clip_tensors)
    extractor, seen = CLIPExtractor(file, sha256=digest), []
    extractor.network.register_forward_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        extractor.features(pictures())
        assert (set(seen), torch.get_float32_matmul_precision()) == ({"highest"}, "high")
    finally:
        torch.set_float32_matmul_precision(before)
