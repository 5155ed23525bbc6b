"""Old name of `support.imagenet_folder`."""

from support.imagenet_folder import (
    CLASS_NAMES,
    TRANSFORM,
    folders,
    joined,
    make_imagenet,
    quiet,
    write_image,
)

__all__ = ["CLASS_NAMES", "TRANSFORM", "folders", "joined", "make_imagenet", "quiet", "write_image"]
