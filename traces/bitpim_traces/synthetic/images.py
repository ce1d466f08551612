"""Random images with the low-frequency look of photographs."""

import numpy as np
import numpy.typing as npt

__all__ = ["synthetic_images"]


def synthetic_images(
    n_images: int, shape: tuple[int, ...], seed: int = 0
) -> npt.NDArray[np.float32]:
    """Make images of mean 0 and deviation 1 whose spectrum falls as that of photographs does.

    Shapes
    ------
    shape : (C, H, W);  result : (n_images, C, H, W)
    """
    rng = np.random.default_rng([seed, 2])
    channels, height, width = shape
    rows = np.fft.fftfreq(height)[:, None] * height
    columns = np.fft.rfftfreq(width) * width
    # amplitude falls as 1 / frequency in natural images
    amplitude = 1.0 / np.maximum(np.hypot(rows, columns), 1.0)
    images = np.empty((n_images, *shape), dtype=np.float32)
    for image in images:
        # channels share most of their content, as the colours of a photograph do
        noise = rng.standard_normal((channels + 1, height, width))
        noise = 0.4 * noise[1:] + 0.9 * noise[:1]
        smooth = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=(height, width))
        spread = smooth.std()
        image[...] = (smooth - smooth.mean()) / (spread if spread > 0 else 1.0)
    return images
