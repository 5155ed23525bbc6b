"""What lies in the folder of a vector set."""

from pathlib import Path

from bitlog2.sim.files import refuse_irregular

__all__ = ["BUILD_NAME", "CORE_NAME", "LIST_NAME", "MAKEFILE_NAME", "RTL_NAME", "names_in"]

#: The reference RTL of a set with testbenches: the one folder of a set.
RTL_NAME = "rtl"
#: What its Makefile builds: no part of the set.
BUILD_NAME = "build"
MAKEFILE_NAME = "Makefile"
#: The RTL as a file list, and everything for FuseSoC.
LIST_NAME = "bitlog2.f"
CORE_NAME = "bitlog2.core"


def names_in(folder: Path, testbench: bool) -> list[str]:
    """Return the paths of a set's files below its folder, and of whatever else is there.

    Args:
        folder: of the set.
        testbench: whether testbenches belong to it: then the folder `build` is left out.

    Raises:
        ValueError, OSError: a pipe, a device, or a link that leads to no file.
    """
    names = []
    for path in folder.iterdir():
        if testbench and path.name == BUILD_NAME:
            continue
        refuse_irregular(path)
        inner = list(path.iterdir()) if path.name == RTL_NAME and path.is_dir() else []
        for each in inner:
            refuse_irregular(each)
        names += [f"{RTL_NAME}/{each.name}" for each in inner] or [path.name]
    return names
