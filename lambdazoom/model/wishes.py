"""What somebody wants of an image, beyond that what is published match its source."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wish:
    """Why an image is settled: because it may have changed, or because somebody asked for it.

    `asked`: what failed for good is tried again. `recipe`: tiles of other settings than the present ones are made anew.
    `anew`: tiles and metadata of the present version are made anew whatever is there, and what failed is tried again, too.
    """

    asked: bool = False
    recipe: bool = False
    anew: bool = False

    def __or__(self, other: "Wish") -> "Wish":
        """Both together."""
        return Wish(self.asked or other.asked, self.recipe or other.recipe, self.anew or other.anew)

    @property
    def tries_again(self) -> bool:
        """Whether what failed for good is tried once more."""
        return self.asked or self.anew


HINT = Wish()
