"""The root of all bitpim errors, and the one error the kernel floor itself raises."""

__all__ = ["BitpimError", "LayoutError"]


class BitpimError(Exception):
    """Base of every error bitpim raises on purpose.

    The message says where, what was needed, what was got and what to do.
    """


class LayoutError(BitpimError, ValueError):
    """A packed array has the wrong shape, dtype or padding."""
