"""How far apart are two places on the earth?"""

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_KM = 6_371.0


def distance_km(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, to_latitude: npt.ArrayLike, to_longitude: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return distances over the surface of the earth, from each place to each other, ``(places, others)``, in km."""
    a, b = np.radians(np.asarray(latitude, float))[:, None], np.radians(np.asarray(to_latitude, float))[None, :]
    turn = np.radians(np.asarray(longitude, float))[:, None] - np.radians(np.asarray(to_longitude, float))[None, :]
    half = np.sin((a - b) / 2.0) ** 2 + np.cos(a) * np.cos(b) * np.sin(turn / 2.0) ** 2
    return np.asarray(2.0 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))))
