"""Sound in and out with the standard library alone: WAV files, linear resampling, a microphone through a recorder's pipe.

Everything here is pcm16: 16-bit little-endian samples of one channel.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import wave
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.realtime.opening import Sound

__all__ = ["microphone", "pieces", "read_wav", "resample", "sound_of", "write_wav"]

PCM = "pcm16"
#: recorders that write raw samples to their output, in the order they are looked for
_RECORDERS = (
    ("arecord", "-q -t raw -f S16_LE -c 1 -r {rate} -"),
    ("parec", "--raw --format=s16le --channels=1 --rate={rate}"),
    ("rec", "-q -t raw -b 16 -e signed-integer -L -c 1 -r {rate} -"),
)


def read_wav(path: Any) -> tuple[bytes, int]:
    """(samples as pcm16 of one channel, samples per second) of a WAV file of 8, 16, 24 or 32 bits; channels are averaged."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise ConfigError(f"{path} cannot be read as a WAV file: {error}") from None
    samples = array("h")
    if width == 1:
        samples.extend((value - 128) << 8 for value in data)
    elif width == 2:
        samples = _samples(data)
    else:  # the two high bytes of each sample
        samples = _samples(b"".join(data[at + width - 2 : at + width] for at in range(0, len(data), width)))
    if channels > 1:
        voices = [samples[n::channels] for n in range(channels)]
        samples = array("h", (sum(frame) // channels for frame in zip(*voices)))
    return _bytes(samples), rate


def write_wav(path: Any, data: bytes, rate: int) -> None:
    """A WAV file of pcm16 samples of one channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(data)


def resample(data: bytes, rate: int, to: int) -> bytes:
    """pcm16 at another rate, each sample on the straight line between its neighbours; no filter, so halving may alias."""
    samples = _samples(data)
    if rate == to or not samples:
        return data
    count, last = len(samples) * to // rate, len(samples) - 1
    out = array("h", bytes(2 * count))
    for n in range(count):
        at, rest = divmod(n * rate, to)
        here = samples[at]
        out[n] = here + (samples[min(at + 1, last)] - here) * rest // to
    return _bytes(out)


def sound_of(path: Any, format: Sound) -> bytes:
    """A WAV file's samples as a session takes them. ConfigError where that is no pcm16."""
    if format.format != PCM:
        raise ConfigError(f"WAV files are sent as {PCM} only, and this session takes {format.format}", param="audio_format")
    data, rate = read_wav(path)
    return resample(data, rate, format.rate)


def pieces(data: bytes, rate: int, milliseconds: int) -> Iterator[bytes]:
    """Samples in pieces of so long a time."""
    size = max(1, rate * milliseconds // 1000) * 2
    for at in range(0, len(data), size):
        yield data[at : at + size]


def microphone(rate: int, *, milliseconds: int = 40, command: list[str] | None = None) -> Iterator[bytes]:
    """What the microphone hears as pcm16, until the iterator is closed: through `command`, or the first recorder found
    (arecord, parec, rec). ConfigError if there is none."""
    if command is None:
        found = [[shutil.which(name), *line.format(rate=rate).split()] for name, line in _RECORDERS if shutil.which(name)]
        if not found:
            raise ConfigError(f"no recorder was found: install one of {', '.join(name for name, _ in _RECORDERS)}")
        command = [str(word) for word in found[0]]
    size = max(1, rate * milliseconds // 1000) * 2
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise ConfigError(f"the recorder {command[0]} cannot be started: {error}") from None
    assert process.stdout is not None
    try:
        while piece := process.stdout.read(size):
            yield piece
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()


def _samples(data: bytes) -> array[int]:
    samples = array("h", data[: len(data) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _bytes(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples = samples[:]
        samples.byteswap()
    return samples.tobytes()
