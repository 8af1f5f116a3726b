"""Any pixels to 8-bit sRGB, whole or part by part; no files here. What more bits become is told in `depth`."""

import io
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageChops, ImageCms, ImageMath
from PIL.PngImagePlugin import PngImageFile

from lambdazoom.imaging import profiles
from lambdazoom.imaging.depth import Samples, reduction
from lambdazoom.imaging.formats import BROKEN
from lambdazoom.imaging.upright import known_exif
from lambdazoom.model.geometry import WHITE

_EXIF, _INTEROPERABILITY, _COLOUR_SPACE, _INDEX = 0x8769, 0xA005, 0xA001, 1  # EXIF 2.32, 4.6.3 and 4.6.5
_UNCALIBRATED = 0xFFFF
_PNG_GAMMA = 0.45455  # what gAMA says of sRGB (W3C PNG, 11.3.2.5)
_TOLERANCE = 0.05  # as libpng has it: less is not seen
_REMEMBERED_BYTES = 1 << 20  # of a profile: larger ones are not kept
_PLAIN = {"1": "L", "La": "LA"}  # La: multiplied by alpha, as only TIFF's grey comes
_OPAQUE = {"RGBA": "RGB", "LA": "L"}  # modes as which alpha is left out of a conversion
_REFUSED = (OSError, ImageCms.PyCMSError, ValueError, TypeError)  # what a profile that can't be used gives


@dataclass(frozen=True)
class ColourSpace:
    """What the colours of an image are: their ICC profile, None for sRGB, and a remark if that was told otherwise than by a profile."""

    profile: bytes | None = None
    remark: str = ""


class Conversion:
    """How the pictures of one image become 8-bit sRGB: settled once, then done with any part of it, on any thread.

    `mode` is that of what comes out, RGB or L, or RGBA where transparency is kept; `remarks` tell what a reader should know.
    Otherwise transparency is composited on the background. Colours are converted from their space (relative colorimetric,
    black point compensation); a broken profile counts as none and is remarked on.
    """

    def __init__(self, image: Image.Image, samples: Samples, space: ColourSpace, background: str | None = WHITE) -> None:
        """Of `image`, opened, the pixels are looked at only where `needs_all_pixels` says so. No background: transparency is kept."""
        self._reduction = reduction(image, samples)
        self._bits, self._background = samples.bits, background
        self._profile = space.profile if image.mode != "LAB" and not is_srgb(space.profile) else None
        self._transforms: dict[str, ImageCms.ImageCmsTransform | None] = {}
        self._remarks = [self._reduction.remark] if self._reduction else []
        self._has_alpha = False
        trial = self(_one_pixel_of(image))
        self.mode = trial.mode
        is_composited = self._has_alpha and background is not None
        self.is_needed = bool(self._reduction) or image.mode != self.mode or any(self._transforms.values()) or is_composited
        if self._profile and space.remark:
            self._remarks.append(space.remark)
        if is_composited:
            self._remarks.append(f"Transparent parts are shown on {'white' if background == WHITE else background}.")
        self.remarks = tuple(self._remarks)

    def __call__(self, image: Image.Image) -> Image.Image:
        """A part of the image, or all of it: its mode is the image's, and it has its palette and information."""
        veil = _alpha_of_deep(image) if self._reduction else None
        if self._reduction:
            image = self._reduction(image)
        if image.mode in _PLAIN:
            image = image.convert(_PLAIN[image.mode])
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
        if image.mode == "LAB":
            image = self._transformed(image)
        alpha = veil or _alpha(image, self._bits)
        if self._profile:
            image = self._transformed(image.convert(_OPAQUE[image.mode]) if image.mode in _OPAQUE else image)
        if image.mode not in ("RGB", "L") or alpha:
            image = image.convert("L" if image.mode in ("L", "LA") else "RGB")
        if alpha:
            self._has_alpha = True
            image = _on(self._background, image, alpha) if self._background else _with(alpha, image)
        image.info = {}  # Pillow would write comments and profiles from here into every tile
        return image

    def _transformed(self, image: Image.Image) -> Image.Image:
        """By the profile, or what stands for it; as it is if that can't be used."""
        if image.mode not in self._transforms:  # in the trial, thus before there are several threads
            self._transforms[image.mode] = self._transform(image.mode)
        transform = self._transforms[image.mode]  # LittleCMS lets threads share one
        return (ImageCms.applyTransform(image, transform) or image) if transform else image

    def _transform(self, mode: str) -> ImageCms.ImageCmsTransform | None:
        try:
            profile = ImageCms.createProfile("LAB") if mode == "LAB" else io.BytesIO(self._profile or b"")
            transform = _to_srgb(ImageCms.ImageCmsProfile(profile), mode)
            ImageCms.applyTransform(Image.new(mode, (1, 1)), transform)
        except _REFUSED as error:
            self._remarks.append(f"Its colour profile could not be used ({error}); the colours are shown as sRGB.")
            return None
        return transform


def _one_pixel_of(image: Image.Image) -> Image.Image:
    """A picture of one pixel that is like the image in all but its pixels."""
    pixel = Image.new(image.mode, (1, 1))
    pixel.info = image.info.copy()
    if image.palette:
        pixel.palette = image.palette.copy()
    return pixel


def space_of(image: Image.Image) -> ColourSpace:
    """The embedded profile, else one made of what the file tells otherwise."""
    embedded = image.info.get("icc_profile")
    if embedded or image.mode == "CMYK":
        return ColourSpace(embedded or None)
    made = _profile_of_chunks(image) if isinstance(image, PngImageFile) else None
    if made:
        return ColourSpace(made, "The colours were converted by what its PNG chunks say of them (gAMA, cHRM).")
    if "srgb" not in image.info and image.mode in ("RGB", "RGBA", "P", "YCbCr") and _is_flagged_adobe_rgb(image):
        return ColourSpace(profiles.adobe_rgb(), "Its EXIF block says Adobe RGB; the colours were converted.")
    return ColourSpace()


def _profile_of_chunks(image: PngImageFile) -> bytes | None:
    """A profile of gAMA and cHRM, where they tell of another space than sRGB (W3C PNG, 4.3: iCCP and sRGB go before)."""
    gamma, points = image.info.get("gamma", 0), tuple(image.info.get("chromaticity", ()))
    if "srgb" in image.info or not (gamma or points) or len(points) not in (0, 8):
        return None
    is_its_gamma = not gamma or abs(gamma / _PNG_GAMMA - 1) <= _TOLERANCE
    if is_its_gamma and all(abs(a - b) <= _TOLERANCE / 10 for a, b in zip(points, profiles.SRGB_POINTS, strict=False)):
        return None
    exponent = 1 / gamma if gamma else 1 / _PNG_GAMMA
    return profiles.by_gamma(exponent, points, is_grey=image.mode in ("1", "L", "LA", "I;16", "I", "I;16B"))


def _is_flagged_adobe_rgb(image: Image.Image) -> bool:
    """Whether EXIF says so as cameras do: no known colour space, and the interoperability index of DCF's optional one (DCF 2.0, 4.4)."""
    try:
        exif = known_exif(image)
        space, index = exif.get_ifd(_EXIF).get(_COLOUR_SPACE), exif.get_ifd(_INTEROPERABILITY).get(_INDEX)
    except BROKEN:
        return False
    return space == _UNCALIBRATED and str(index).rstrip("\0") == "R03"


def is_srgb(profile: bytes | None) -> bool:
    """Whether pixels with this ICC profile are sRGB as they stand, to the last bit but one; those without one are taken for it."""
    if not profile:
        return True
    return _leaves_all(profile) if len(profile) <= _REMEMBERED_BYTES else _leaves_all.__wrapped__(profile)


@lru_cache(maxsize=8)
def _leaves_all(profile: bytes) -> bool:
    """Whether converting changes no colour, and no grey, that can be seen."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        chart = _chart("L" if source.profile.xcolor_space.strip() == "GRAY" else "RGB")
        converted = ImageCms.applyTransform(chart, _to_srgb(source, chart.mode)) or chart
        return max(ImageChops.difference(chart.convert("RGB"), converted).tobytes()) <= 1
    except _REFUSED:
        return False


def _chart(mode: str) -> Image.Image:
    """Every 17th value of each part, all together."""
    steps = range(0, 256, 17)
    if mode == "L":
        return Image.frombytes("L", (len(steps), 1), bytes(steps))
    pixels = bytes(part for red in steps for green in steps for blue in steps for part in (red, green, blue))
    return Image.frombytes("RGB", (len(steps) ** 2, len(steps)), pixels)


def _on(background: str, image: Image.Image, alpha: Image.Image) -> Image.Image:
    red, green, blue = bytes.fromhex(background[1:])
    if image.mode == "L" and not red == green == blue:
        image = image.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return image  # most parts of most pictures
    return Image.composite(image, Image.new(image.mode, image.size, background), alpha)


def _with(alpha: Image.Image, image: Image.Image) -> Image.Image:
    image = image.convert("RGB")
    image.putalpha(alpha)
    return image


def _alpha_of_deep(image: Image.Image) -> Image.Image | None:
    """Of grey of more than 8 bits, in which one value is transparent: told before it looks like its neighbours."""
    value = image.info.get("transparency")
    if not isinstance(value, int):
        return None
    alpha: Image.Image = ImageMath.lambda_eval(lambda given: given["convert"]((given["grey"] != value) * 255, "L"), grey=image.convert("I"))
    return alpha


def _alpha(image: Image.Image, bits: int) -> Image.Image | None:
    if "transparency" in image.info and image.mode in ("L", "RGB"):
        colour = image.info["transparency"]
        if isinstance(colour, tuple) and bits > 8:  # Pillow keeps the high bytes of each sample
            image.info["transparency"] = tuple(part >> 8 for part in colour)
        elif isinstance(colour, int) and bits < 8:  # and spreads what has fewer bits over all values
            image.info["transparency"] = colour * 255 // (2**bits - 1)
        return image.convert("RGBA").getchannel("A")
    return image.getchannel("A") if image.mode in ("RGBA", "LA") else None


def _to_srgb(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
