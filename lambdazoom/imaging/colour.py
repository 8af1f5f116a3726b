"""Any pixels to 8-bit sRGB; no files here. What is not converted faithfully is refused by name."""

import io
from collections.abc import Callable

from PIL import Image, ImageCms

from lambdazoom.model.errors import UnsupportedImage

BACKGROUND = (255, 255, 255)  # what shows through transparent pixels: tiles have no alpha

_DEEP = {"I;16": 257, "I;16L": 257, "I;16B": 257, "I;16N": 257}  # 65,535 / 257 = 255


def to_srgb(image: Image.Image, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """The image in mode RGB, and remarks on what was done that a reader should know.

    Transparency is composited on BACKGROUND, an embedded ICC profile converted (relative colorimetric, black point
    compensation); a broken profile counts as none and is remarked on. UnsupportedImage for samples that we can't scale.
    """
    remarks: list[str] = []
    profile = image.info.get("icc_profile")
    image = _to_8_bit(image, name, remarks)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    alpha = _alpha(image)
    if profile:
        image = _convert_profile(image, profile, remarks)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if alpha:
        remarks.append("Transparent parts are shown on white.")
        image = Image.composite(image, Image.new("RGB", image.size, BACKGROUND), alpha)
    image.info = {}  # Pillow would write comments and profiles from here into every tile
    return image, tuple(remarks)


def _to_8_bit(image: Image.Image, name: str, remarks: list[str]) -> Image.Image:
    if image.mode in _DEEP:
        divisor = _DEEP[image.mode]
        remarks.append("16 bits a sample were reduced to 8.")
        return image.point(lambda value: value * (1 / divisor) + 0).convert("L")
    if image.mode in ("I", "F"):
        samples = "floating-point" if image.mode == "F" else "32-bit"
        raise UnsupportedImage(f"{name} has {samples} samples, which are not opened here. Save it with 8 or 16 bits a sample.")
    if image.mode == "1":
        return image.convert("L")
    return image


def _alpha(image: Image.Image) -> Image.Image | None:
    if "transparency" in image.info and image.mode in ("L", "RGB"):
        return image.convert("RGBA").getchannel("A")
    return image.getchannel("A") if image.mode in ("RGBA", "LA", "La", "RGBa") else None


def _convert_profile(image: Image.Image, profile: bytes, remarks: list[str]) -> Image.Image:
    plain: dict[str, Callable[[], Image.Image]] = {"RGBA": lambda: image.convert("RGB"), "LA": lambda: image.convert("L")}
    opaque = plain.get(image.mode, lambda: image)()
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if (source.profile.profile_description or "").startswith("sRGB"):
            return opaque
        converted = ImageCms.profileToProfile(
            opaque,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ImageCms.PyCMSError, ValueError, TypeError) as error:
        remarks.append(f"Its colour profile could not be used ({error}); the colours are shown as sRGB.")
        return opaque
    return converted or opaque
