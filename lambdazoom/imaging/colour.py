"""Any pixels to 8-bit sRGB; no files here. What is not converted faithfully is refused by name."""

import io
from collections.abc import Callable

from PIL import Image, ImageCms

from lambdazoom.model.errors import UnsupportedImage

BACKGROUND = (255, 255, 255)  # what shows through transparent pixels: tiles have no alpha

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
_DEEP_SCALE = 257  # 65,535 / 257 = 255


def to_srgb(image: Image.Image, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """The image in mode RGB, or L if it is grey, and remarks on what was done that a reader should know.

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
    if image.mode not in ("RGB", "L") or alpha:
        image = image.convert("L" if image.mode in ("L", "LA") else "RGB")
    if alpha:
        remarks.append("Transparent parts are shown on white.")
        background = Image.new("RGB", image.size, BACKGROUND).convert(image.mode)
        image = Image.composite(image, background, alpha)
    image.info = {}  # Pillow would write comments and profiles from here into every tile
    return image, tuple(remarks)


def is_srgb(profile: bytes | None) -> bool:
    """Whether pixels with this embedded ICC profile are sRGB as they stand; those without one are taken for it."""
    if not profile:
        return True
    try:
        return _is_srgb(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (OSError, ImageCms.PyCMSError, ValueError, TypeError):
        return False


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return (profile.profile.profile_description or "").startswith("sRGB")


def _to_8_bit(image: Image.Image, name: str, remarks: list[str]) -> Image.Image:
    if image.mode in _DEEP or (image.mode == "I" and image.format == "PPM"):
        remarks.append("16 bits a sample were reduced to 8.")
        return _reduced_to_8_bit(image)
    if image.mode in ("I", "F"):
        samples = "floating-point" if image.mode == "F" else "signed or 32-bit"
        raise UnsupportedImage(f"{name} has {samples} samples, which are not opened here. Save it with 8 or 16 bits a sample.")
    if image.mode == "1":
        return image.convert("L")
    return image


def _reduced_to_8_bit(image: Image.Image) -> Image.Image:
    if image.mode != "I;16":
        image = image.convert("I")  # Pillow scales the other modes of 16 bits only from here
    reduced = image.point(lambda value: value * (1 / _DEEP_SCALE) + 0.5).convert("L")
    if "transparency" in image.info:
        reduced.info["transparency"] = round(image.info["transparency"] / _DEEP_SCALE)
    return reduced


def _alpha(image: Image.Image) -> Image.Image | None:
    if "transparency" in image.info and image.mode in ("L", "RGB"):
        colour = image.info["transparency"]
        if isinstance(colour, tuple) and max(colour) > 255:  # 16 bits a sample, of which Pillow keeps the high bytes
            image.info["transparency"] = tuple(part >> 8 for part in colour)
        return image.convert("RGBA").getchannel("A")
    return image.getchannel("A") if image.mode in ("RGBA", "LA", "La", "RGBa") else None


def _convert_profile(image: Image.Image, profile: bytes, remarks: list[str]) -> Image.Image:
    plain: dict[str, Callable[[], Image.Image]] = {"RGBA": lambda: image.convert("RGB"), "LA": lambda: image.convert("L")}
    opaque = plain.get(image.mode, lambda: image)()
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _is_srgb(source):
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
