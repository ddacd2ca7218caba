"""What is trained, as data: synthgen's own methods and their peers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["METHODS", "Method"]

FITTING = "scripts.benching.fitting"
MINUTES = 60.0
BUDGET = 10 * MINUTES
EPOCHS = 300  # what the `ctgan` package trains by default


@dataclass(frozen=True)
class Method:
    """One way of learning data and making more of it.

    Attributes:
        name: In rows, pages and `only=`.
        kind: "tables" or "images".
        fitting: The module that fits and samples; see `scripts.benching.fitting`.
        title: For people.
        settings: Handed to the module. `seconds` is the wall clock that training gets, where it is ruled by one.
        environment: Name of the peer's environment under `.venv-peers`; None is synthgen's own.
        packages: Whose versions a row notes.
        samples: How many images are made; tables get as many rows as there are for training.
        timeout: Seconds after which fitting and sampling are given up.
        rival: The peer's method that the pages hold this one against.
        remark: What differs from the published defaults.
    """

    name: str
    kind: str
    fitting: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: str | None = None
    packages: tuple[str, ...] = ("torch",)
    samples: int | None = None
    timeout: float = 60 * MINUTES
    rival: str | None = None
    remark: str = ""

    @property
    def own(self) -> bool:
        """Whether it is synthgen's."""
        return self.environment is None

    def python(self, root: Path) -> Path:
        """The interpreter of its environment; there or not."""
        return root / (".venv" if self.own else f".venv-peers/{self.environment}") / "bin/python"


def _own_table(name: str, model: str, title: str, rival: str, remark: str = "", **settings: Any) -> Method:
    settings = {"model": f"table/{model}", **settings}
    return Method(name, "tables", f"{FITTING}.own", title, settings, None, rival=rival, remark=remark)


def _own_images(name: str, title: str, samples: int, rival: str | None, **settings: Any) -> Method:
    settings = {"model": f"image/{name}", "seconds": BUDGET, **settings}
    return Method(name, "images", f"{FITTING}.own", title, settings, None, samples=samples, rival=rival)


def _sdv(name: str, fitting: str, title: str, packages: tuple[str, ...], remark: str = "", **settings: Any) -> Method:
    return Method(name, "tables", fitting, title, settings, "sdv", (*packages, "torch"), remark=remark)


# Sampling of unconditional diffusion takes seconds an image: fewer are made, and all are compared at that number.
FEW, MANY = 1_000, 10_000
TEN_MINUTES = {"epochs": EPOCHS, "seconds": BUDGET}
BF16 = "in bf16 and channels last, the fastest that it runs here; "
SMALL_UNET = (
    "a U-Net of 1.4 to 1.6 million parameters and batches of 64, as larger ones would make a few hundred steps in ten "
    "minutes; 50 DDIM steps of sampling"
)

PYTHAE = {"seconds": BUDGET, "latent": 16}
PYTHAE_REMARK = "its ResNet for 28-pixel images; training ends by the clock"
DDPM = {"seconds": BUDGET, "dim": 32, "dim_mults": [1, 2, 2], "batch_size": 64, "steps": 50}
DIFFUSERS = {"seconds": BUDGET, "channels": [32, 64, 64], "batch_size": 64, "steps": 50}

METHODS = (
    _own_table("copula", "copula", "synthgen copula", "sdv-copula"),
    _sdv("sdv-copula", f"{FITTING}.sdv_copula", "SDV GaussianCopula", ("sdv", "copulas")),
    _own_table("tvae", "tvae", "synthgen TVAE", "tvae-package", epochs=EPOCHS),
    _sdv(
        "tvae-package", f"{FITTING}.ctgan_package", "ctgan TVAE", ("ctgan",), model="TVAE", epochs=300, seconds=BUDGET
    ),
    Method(
        "mostlyai",
        "tables",
        f"{FITTING}.mostlyai_engine",
        "mostlyai-engine TabularARGN",
        {"seconds": BUDGET},
        "mostlyai",
        ("mostlyai-engine", "torch"),
        remark="rare values are protected, as by default, which costs it some of the rare categories and of the tails",
    ),
    _own_table("argn", "argn", "synthgen ARGN", "mostlyai", remark="ends after the plateau of its validation loss"),
    _own_table("tabdiff-2min", "tabdiff", "synthgen TabDiff, 2 minutes", "mostlyai", seconds=2 * MINUTES),
    _own_table("tabdiff", "tabdiff", "synthgen TabDiff, 10 minutes", "mostlyai", seconds=BUDGET),
    _own_table("tabsyn", "tabsyn", "synthgen TabSyn, 10 minutes", "mostlyai", seconds=BUDGET),
    _own_table("ctgan", "ctgan", "synthgen CTGAN", "ctgan-package", epochs=EPOCHS, overrides=["data.validation=0"]),
    _sdv(
        "ctgan-package",
        f"{FITTING}.ctgan_package",
        "ctgan CTGAN",
        ("ctgan",),
        "ends at the first epoch after ten minutes",
        **TEN_MINUTES,
        model="CTGAN",
    ),
    Method(
        "arfpy",
        "tables",
        f"{FITTING}.arfpy_forest",
        "arfpy ARF",
        {},
        "arfpy",
        ("arfpy", "scikit-learn"),
    ),
    _own_images("edm", "synthgen EDM", MANY, None),
    Method(
        "edm-unlabelled",
        "images",
        f"{FITTING}.own",
        "synthgen EDM without labels",
        {"model": "image/edm", "seconds": BUDGET, "labels": False},
        None,
        samples=FEW,
        rival="diffusers-bf16",
    ),
    _own_images(
        "dcgan",
        "synthgen DCGAN",
        MANY,
        None,
        batch_size=64,
        overrides=["model.augment=[]", "data.validation=0"],
    ),
    _own_images("vae", "synthgen VAE", MANY, "pythae-vae-bf16", batch_size=64),
    Method(
        "ddpm-pytorch",
        "images",
        f"{FITTING}.ddpm_pytorch",
        "denoising-diffusion-pytorch",
        DDPM,
        "images",
        ("denoising-diffusion-pytorch", "torch"),
        FEW,
        remark=SMALL_UNET,
    ),
    Method(
        "ddpm-pytorch-bf16",
        "images",
        f"{FITTING}.ddpm_pytorch",
        "denoising-diffusion-pytorch, bf16",
        {**DDPM, "bf16": True},
        "images",
        ("denoising-diffusion-pytorch", "torch"),
        FEW,
        remark=BF16 + SMALL_UNET,
    ),
    Method(
        "diffusers",
        "images",
        f"{FITTING}.diffusers_loop",
        "diffusers' unconditional example",
        DIFFUSERS,
        "images",
        ("diffusers", "torch"),
        FEW,
        remark=SMALL_UNET,
    ),
    Method(
        "diffusers-bf16",
        "images",
        f"{FITTING}.diffusers_loop",
        "diffusers' unconditional example, bf16",
        {**DIFFUSERS, "bf16": True},
        "images",
        ("diffusers", "torch"),
        FEW,
        remark=BF16 + SMALL_UNET,
    ),
    Method(
        "pythae-vae",
        "images",
        f"{FITTING}.pythae_vae",
        "pythae VAE",
        PYTHAE,
        "images",
        ("pythae", "torch"),
        MANY,
        remark=PYTHAE_REMARK,
    ),
    Method(
        "pythae-vae-bf16",
        "images",
        f"{FITTING}.pythae_vae",
        "pythae VAE, bf16",
        {**PYTHAE, "bf16": True},
        "images",
        ("pythae", "torch"),
        MANY,
        remark=BF16 + PYTHAE_REMARK,
    ),
)
