"""The readers of texts and files on inputs that Hypothesis makes up: made-up ones, and real ones that were changed.

For every reader there is a check that fails unless the input is either read or refused by a documented error, and that
compares what was read with something else: the records of Python's own JSON reader, the bytes that were written, the
meaning that was spelt. An input that takes more than :data:`LIMIT_SECONDS` of the processor counts as a hang.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from clevr.data.errors import DataError
from clevr.data.reader import ClevrSplit
from clevr.data.records import JsonRecords, RecordError, parse_question, parse_scene
from clevr.questions import parse as parse_text
from clevr.questions import tokenize
from clevr.questions.realizer import realize
from clevr.questions.tokens import SPECIAL_TOKENS, VOCABULARY, Vocabulary
from fewshot_film.data.errors import SourceError
from fewshot_film.data.pixels import to_array
from fewshot_film.data.tfrecord import bytes_feature, index_records, masked_crc, read_image
from fewshot_film.errors import exit_status_of
from fewshot_film.images import ImageError, open_image
from fewshot_film.run.command import Command
from fewshot_film.run.parsing import keys_of, parse
from fewshot_film.run.settings import defaults_of, plain

LIMIT_SECONDS = 10.0


class Hang(Exception):  # noqa: N818 - a finding
    """One input took more than the limit."""


@dataclass
class Count:
    """What came out for one reader."""

    tried: int = 0
    """Inputs."""
    read: int = 0
    """Those that were read; the others were refused."""
    slowest: float = 0.0
    """Processor seconds that the slowest input took."""
    faults: list[str] = field(default_factory=list)
    """Inputs that led to a crash, a hang or wrong data, with what happened."""


Check = Callable[[Any], bool]
"""Gets an input; says whether it was read; raises for what must not be."""


@dataclass(frozen=True)
class Fuzz:
    """One reader, where its inputs come from, and how many of a full run there are."""

    title: str
    inputs: st.SearchStrategy[Any]
    check: Check
    count: int


def fuzz(places: dict[str, Any], *, share: float = 1.0, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Try every reader.

    Args:
        places: where the inputs to change lie.
        share: of the full numbers of inputs.
        say: gets a line of progress.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for one in _all(places, Path(folder)):
            count = try_out(one, max(10, round(share * one.count)))
            found[one.title] = asdict(count)
            say(f"{one.title}: {count.tried} inputs, {count.read} read, {len(count.faults)} faults")
    return found


def try_out(one: Fuzz, number: int) -> Count:
    """Try so many inputs; after a fault a simpler input with the same fault is looked for, and then it ends."""
    count = Count()

    @seed(0)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
        report_multiple_bugs=False,
    )
    @given(one.inputs)
    def attempt(value: Any) -> None:
        count.tried += 1
        began = time.process_time()
        with limited():
            count.read += one.check(value)
        count.slowest = max(count.slowest, time.process_time() - began)

    try:
        attempt()
    except Exception as error:  # whatever a reader should not raise
        notes = " ".join(getattr(error, "__notes__", ()))
        count.faults.append(f"{type(error).__name__}: {error} {notes}"[:600])
    return count


def _all(places: dict[str, Any], folder: Path) -> Iterator[Fuzz]:
    world: Path = places["world"]
    questions = [json.loads(line.rstrip(",\n")) for line in _record_lines(world / "questions/CLEVR_val_questions.json")]
    scenes = [json.loads(line.rstrip(",\n")) for line in _record_lines(world / "scenes/CLEVR_val_scenes.json")]
    texts = _changed_texts([question["question"] for question in questions])
    yield Fuzz("question tokenizer", st.text(max_size=80) | texts, check_tokenizer, 5_000)
    yield Fuzz("question parser", texts, check_parser, 3_000)
    content = json.dumps({"info": {"split": "val"}, "questions": questions[:3]}).encode()
    yield Fuzz("JSON file reader", st.binary(max_size=200) | changed(content), check_json, 5_000)
    yield Fuzz("CLEVR question records", _changed_records(questions), check_question, 4_000)
    yield Fuzz("CLEVR scene records", _changed_records(scenes), check_scene, 2_000)
    records = [_example(bytes([number]) * 30 * (number + 1)) for number in range(3)]
    whole = b"".join(map(_framed, records))
    yield Fuzz("TFRecord files", st.binary(max_size=80) | changed(whole), _check_records(folder, whole), 5_000)
    yield Fuzz("TFRecord examples", st.binary(max_size=80) | changed(records[1]), check_example, 5_000)
    for program, command in _commands():
        file = folder / "config.yaml"
        yield Fuzz(f"YAML: {program} {command.name}", _documents(command), _check_yaml(command, file), 100)
    images = [(form, _encoded(form)) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")]
    for form, data in images:
        yield Fuzz(f"images: {form}", changed(data), check_image, 1_500)
    yield Fuzz("images: any bytes", st.binary(max_size=200), check_image, 1_500)
    yield Fuzz("images of CLEVR", st.sampled_from([data for _, data in images]).flatmap(changed),
               _check_clevr_image(folder), 1_500)  # fmt: skip


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Within the block only so many seconds of the processor may pass.

    Raises:
        Hang: more did.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang(f"it took more than {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# ------------------------------------------------------------------------------------------------- inputs


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """A file with up to four changes: bytes replaced, inserted, taken out, repeated, or cut off behind a place."""
    content = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(["flip", "put", "insert", "remove", "repeat", "cut"]))
        some = draw(st.binary(min_size=1, max_size=8))
        if kind == "flip" and content:
            content[place] ^= some[0] or 1
        elif kind == "put":
            content[place : place + len(some)] = some
        elif kind == "insert":
            content[place:place] = some
        elif kind == "remove":
            del content[place : place + some[0]]
        elif kind == "repeat":
            content[place:place] = content[place : place + 8 * len(some)]
        elif draw(st.integers(0, 3)) == 0:
            del content[place:]
    return bytes(content)


def _changed_texts(known: list[str]) -> st.SearchStrategy[str]:
    """Real questions with words replaced, left out, repeated; and words of the vocabulary in any order."""
    words = st.sampled_from([word for word in VOCABULARY if word and word not in SPECIAL_TOKENS])

    @st.composite
    def texts(draw: st.DrawFn) -> str:
        found = draw(st.sampled_from(known)).split()
        for _ in range(draw(st.integers(0, 3))):
            place = draw(st.integers(0, len(found)))
            found[place : place + draw(st.integers(0, 2))] = draw(st.lists(words | st.text(max_size=4), max_size=3))
        return " ".join(found)

    long = st.builds(
        lambda start, part, times, end: " ".join([start, *([part] * times), end]),
        st.sampled_from(["How many", "Is there a", "What color is the"]),
        st.sampled_from(["thing left of the", "thing that is right of the", "red things or", "and", "cube"]),
        st.integers(0, 60),
        st.sampled_from(["cube", "things are there?", ""]),
    )
    return texts() | st.lists(words, max_size=25).map(" ".join) | long


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def _changed_records(known: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Real records, up to three values of which, however deep, are replaced or taken out."""

    @st.composite
    def records(draw: st.DrawFn) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(known))))
        for _ in range(draw(st.integers(0, 3))):
            _change(draw, record)
        return record

    return records()


def _change(draw: st.DrawFn, record: Any) -> None:
    """Replace or take out one value somewhere in a record."""
    while isinstance(record, dict | list) and record:
        places = list(record) if isinstance(record, dict) else list(range(len(record)))
        place = draw(st.sampled_from(places))
        if isinstance(record[place], dict | list) and record[place] and draw(st.integers(0, 4)):
            record = record[place]
            continue
        if draw(st.booleans()):
            record[place] = draw(_VALUES)
        else:
            del record[place]
        return


def _documents(command: Command) -> st.SearchStrategy[str]:
    """YAML of some of a command's settings, up to two of them with made-up values or names; and any text."""
    defaults = dict(_flat(defaults_of(command.config_class())))
    made_up = _VALUES | st.integers(-3, 10) | st.sampled_from(["auto", "1e-3", "null", ".nan", "-.inf", "[1, 2]"])
    names = st.sampled_from([key for key, _ in keys_of(command.config_class())]) | st.text(max_size=8)
    some = st.lists(st.sampled_from(sorted(defaults)), max_size=8) if defaults else st.just([])
    usual = some.map(lambda keys: {key: defaults[key] for key in keys})
    unusual: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(names, made_up, max_size=2)

    def nested(flat: dict[str, Any]) -> str:
        content: dict[str, Any] = {}
        for key, value in flat.items():
            *outer, last = key.split(".")
            here = content
            for part in outer:
                below = here.setdefault(part, {})
                here = below if isinstance(below, dict) else here
            here[last] = value
        return str(yaml.safe_dump(content))

    settings_of = st.builds(lambda first, others: nested({**first, **others}), usual, unusual)
    bomb = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))
    any_bytes = st.binary(max_size=30).map(lambda data: data.decode("latin-1"))
    return settings_of | st.text(max_size=60) | st.just(bomb) | any_bytes


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; an empty group of settings is a value."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _encoded(form: str) -> bytes:
    """A small image in a format."""
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def _record_lines(path: Path) -> list[str]:
    """The records of a file that has one a line."""
    return [line for line in path.read_text(encoding="utf-8").splitlines()[1:] if line.startswith("{")]


def _commands() -> Iterator[tuple[str, Command]]:
    import clevr.cli
    import fewshot_film.cli

    yield from (("fewshot-film", command) for command in fewshot_film.cli.COMMANDS)
    yield from (("clevr-film", command) for command in clevr.cli.COMMANDS)


def _field(number: int, content: bytes) -> bytes:
    length, digits = len(content), []
    while length > 127:
        digits.append(length & 127 | 128)
        length >>= 7
    return bytes([number * 8 + 2, *digits, length]) + content


def _example(image: bytes) -> bytes:
    """A ``tf.train.Example`` with an image."""
    feature = _field(1, _field(1, image))
    return _field(1, _field(1, _field(1, b"image") + _field(2, feature)))


def _framed(data: bytes) -> bytes:
    length = len(data).to_bytes(8, "little")
    return b"".join((length, _checksum(length), data, _checksum(data)))


def _checksum(data: bytes) -> bytes:
    return masked_crc(data).to_bytes(4, "little")


# ------------------------------------------------------------------------------------------------- checks


def _names(what: str, message: str) -> None:
    assert what in message, f"the message does not name {what}: {message}"


def check_tokenizer(text: str) -> bool:
    """Cutting the tokens again changes nothing; numbers and tokens go over into each other."""
    tokens = tokenize(text)
    assert tokenize(" ".join(tokens)) == tokens, "the tokens are cut once more"
    assert not any(mark in token for token in tokens for mark in "?."), "a mark is left"
    vocabulary = Vocabulary().extended(tokens)
    numbers = vocabulary.encode(text)
    assert len(numbers) == len(tokens) + 2, "a token has no number"
    assert all(0 <= number < len(vocabulary) for number in numbers), "a number is no token's"
    told = [token.lower() for token in tokens if token not in SPECIAL_TOKENS]
    assert vocabulary.decode(numbers).lower().split() == told, "the tokens do not come back"
    return True


def check_parser(text: str) -> bool:
    """Every meaning that is read can be spelt, and what is spelt is read as that meaning."""
    meanings = parse_text(text)
    for meaning in meanings:
        spelt = realize(meaning, random.Random(0).choice)
        assert meaning in parse_text(spelt), f"{spelt!r} is not read as what it was spelt from"
    return bool(meanings)


def check_json(data: bytes) -> bool:
    """What is read is what Python's own reader reads."""
    try:
        found = list(JsonRecords(lambda: io.BytesIO(data), "some.json", "questions"))
    except DataError as error:
        _names("some.json", str(error))
        return False
    content = json.loads(data.decode("utf-8-sig"))
    expected = content if isinstance(content, list) else content["questions"]
    assert repr(found) == repr(expected) or isinstance(content, dict), "other records than in the file"
    return True


def check_question(record: dict[str, Any]) -> bool:
    """A question that is accepted says what its record says, and is accepted again as it is written."""
    try:
        question = parse_question(record)
    except RecordError:
        return False
    assert question.question == record["question"], "another text"
    assert question.image_filename == record["image_filename"], "another image"
    assert parse_question(json.loads(json.dumps(question.to_json()))) == question, "it does not come back"
    return True


def check_scene(record: dict[str, Any]) -> bool:
    """A scene that is accepted has its record's objects, and is accepted again as it is written."""
    try:
        scene = parse_scene(record)
    except RecordError:
        return False
    assert [thing.color for thing in scene.objects] == [thing["color"] for thing in record["objects"]], "other objects"
    written = json.loads(json.dumps(scene.to_json()))
    assert repr(parse_scene(written)) == repr(scene), "it does not come back"
    return True


def _check_records(folder: Path, whole: bytes) -> Check:
    path = folder / "1.tfrecords"
    path.write_bytes(whole)
    images = {read_image(path, offset, length, "x") for offset, length in index_records(path).tolist()}

    def check(data: bytes) -> bool:
        """Every image that is read is one of those that were written."""
        path.write_bytes(data)
        try:
            places = index_records(path).tolist()
            found = [read_image(path, offset, length, "x") for offset, length in places]
        except (SourceError, ImageError):
            return False
        assert set(found) <= images, "an image that nobody wrote"
        return True

    return check


def check_example(message: bytes) -> bool:
    """The feature is bytes of the message, or it is refused."""
    try:
        found = bytes_feature(message, "image")
    except ValueError as error:
        _names("the record", str(error))
        return False
    assert found in message, "bytes that are not in the record"
    return True


def _check_yaml(command: Command, file: Path) -> Check:
    config_class = command.config_class()
    has_default = defaults_of(config_class)
    needed = [f"--{one.name}=x" for one in dataclasses.fields(config_class) if one.name not in has_default]

    def check(text: str) -> bool:
        """Settings that are accepted are accepted again as they are recorded, and are the same."""
        file.write_text(text, encoding="utf-8")
        try:
            config = parse(command.name, config_class, [f"--config={file}", *needed])
        except Exception as error:
            if exit_status_of(error) != 2:
                raise
            return False
        file.write_text(yaml.safe_dump(plain(config)), encoding="utf-8")
        again = parse(command.name, config_class, [f"--config={file}"])
        assert repr(again) == repr(config), "the recorded settings are read as others"
        return True

    return check


def check_image(data: bytes) -> bool:
    """It is pixels of the size asked for, or it is refused with the name of the file."""
    try:
        image = open_image(data, "x", min_side=16, max_pixels=1 << 20)
        pixels = to_array(image, "x", image_size=8, channels=3)
    except ImageError as error:
        _names("x", str(error))
        return False
    assert pixels.shape == (3, 8, 8), f"pixels of shape {pixels.shape}"
    assert pixels.dtype == np.uint8, f"pixels of type {pixels.dtype}"
    return True


def _check_clevr_image(folder: Path) -> Check:
    root = folder / "world"
    for part in ("images/val", "questions"):
        (root / part).mkdir(parents=True)
    (root / "questions/CLEVR_val_questions.json").write_text('{"questions": []}', encoding="utf-8")
    file = root / "images/val/CLEVR_val_000000.png"
    file.touch()
    split = ClevrSplit.open(root, "val")

    def check(data: bytes) -> bool:
        """It is an image in colours, or it is refused with the name of the file."""
        file.write_bytes(data)
        try:
            image = split.load_image(file.name)
        except DataError as error:
            _names(file.name, str(error))
            return False
        assert image.mode == "RGB", f"an image of mode {image.mode}"
        return True

    return check
