"""How a file of pairs is read: its container, its layout, and the pairs that come of both. No torch.

A file in the house's own layout is read line by line as it is. Every other one is turned into rows of that layout on
the way, so that a check, a training and a converted copy see the same pairs.
"""

from __future__ import annotations

import functools
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, TypedDict

from trainer import containers, held_out, house, hub, joined
from trainer.containers import COLUMNS, Container
from trainer.held_out import Part
from trainer.layouts import beside, given, table
from trainer.layouts.model import Made, Numbered, PairLayout, number
from trainer.layouts.named_pairs import SCORES
from trainer.rows import BadLine, Row
from trainer.turns import read_side
from trainer.unreadable import Unreadable

SAMPLE = 64
"""Records by which a layout is recognised."""
_SHOWN = 12
"""Field names that a refusal lists."""
HOUSE = "pairs"
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_encode = c_make_encoder(None, _ENCODER.default, encode_basestring, None, ": ", ", ", False, False, True)
"""What `_ENCODER` makes anew for each row, which is a quarter of the time."""

Fields = Mapping[str, str]
Sources = tuple[tuple[str, str], ...]
_Found = tuple[Container, PairLayout | None, Sources, frozenset[str]]
Tell = Callable[[float, int], None]
"""Hears the share of the bytes that is read, 0–1, and the records so far."""
Block = tuple[Sequence[int], Sequence[bytes]]
"""Numbers of records, and the line that each became, without line ends."""


class ColumnsTask(TypedDict):
    """What the process that decodes columns is asked: the name, the files that it stands for, a person's mapping."""

    path: str
    parts: list[str]
    fields: dict[str, str]


class HeadsTask(TypedDict):
    """What it is asked for the first rows of several files: (path, Parquet or Arrow) of each, and how many rows."""

    files: list[tuple[str, str]]
    rows: int


def _silent(share: float, records: int) -> None:
    """For those who wait without looking."""


@dataclass(frozen=True, slots=True)
class PairReading:
    """A file, or a folder of shards, with what was recognised in it."""

    path: Path
    parts: tuple[tuple[Path, Container], ...]
    layout: PairLayout | None
    """None: the house's own."""
    further: tuple[tuple[str, str], ...] = ()
    """What lines of the house's own layout hold beside prompt, chosen and rejected: (ours, theirs)."""
    part: Part | None = None
    """Which part of the pairs is meant; None: all."""
    common: frozenset[str] = frozenset()
    """Fields that most of the first records have."""
    given: tuple[tuple[str, str], ...] = ()
    """A person's own mapping of fields, with which it was recognised."""
    pieces: tuple[PairReading, ...] = ()
    """The readings of joined files, whose pairs are read one after the other."""

    @property
    def direct(self) -> bool:
        """Whether the file itself holds lines in the house's layout."""
        alone = len(self.parts) == 1 and not self.pieces
        return alone and self.layout is None and self.part is None and self.parts[0][1].plain

    @property
    def name(self) -> str:
        if self.pieces:
            return " + ".join(dict.fromkeys(piece.name for piece in self.pieces))
        return self.layout.name if self.layout else HOUSE

    @property
    def container(self) -> str:
        if self.pieces:
            return " + ".join(dict.fromkeys(piece.container for piece in self.pieces))
        place, _ = held_out.parse(self.path)
        if hub.is_hub(place):
            return hub.fetch(place).name.describe()
        kinds = sorted({str(container) for _, container in self.parts})
        files = f", {len(self.parts)} files" if len(self.parts) > 1 else ""
        return " and ".join(kinds) + files

    @property
    def sources(self) -> dict[str, str]:
        """What is taken for prompt, chosen, rejected …, where that is not the house's own names."""
        if self.pieces:
            return {ours: theirs for piece in self.pieces for ours, theirs in piece.sources.items()}
        return dict(self.layout.sources if self.layout else self.further)

    def describe(self) -> str:
        """`SHP, JSON lines in gzip: prompt ← history; …`."""
        if self.pieces:
            return " + ".join(piece.describe() for piece in self.pieces)
        mapping = "; ".join(f"{ours} ← {theirs}" for ours, theirs in self.sources.items())
        part = f", {self.part}" if self.part else ""
        return f"{self.name}, {self.container}{part}{f': {mapping}' if mapping else ''}"

    def rows(self) -> Iterator[Row | BadLine]:
        """Every pair in order, with what holds none, one in memory at a time. Raises OSError, Unreadable among it."""
        for place, made in self.made():
            yield house.read_line(made, place) if isinstance(made, bytes) else house.read_made(made, place)

    def lines(self, tell: Tell = _silent) -> Iterator[tuple[int, bytes]]:
        """The same as lines of the house's layout, without line ends, each with the number of its record."""
        for place, made in self.made(tell):
            if isinstance(made, bytes):
                yield place, made.rstrip(b"\r\n").replace(b"\n", b" ")
            else:
                yield place, _encoded(made)

    def made(self, tell: Tell = _silent) -> Iterator[tuple[int, Made | bytes]]:
        """Rows of the house's layout before they are checked; bytes for lines that are read as they are."""
        if self.pieces:
            yield from self._joined(tell)
            return
        if self._in_columns:
            for numbers, lines in self._from_columns(tell):
                yield from zip(numbers, lines, strict=True)
            return
        every = self._records(tell, parsed=self.layout is not None)
        made = self.layout.convert(map(self._alike, every)) if self.layout else every
        yield from made if self.part is None else filter(self._is_held, made)

    def blocks(self, tell: Tell = _silent) -> Iterator[Block]:
        """`lines` in blocks, as large as they come from the process that decodes columns, else of one line."""
        if self._in_columns:
            yield from self._from_columns(tell)
            return
        for place, line in self.lines(tell):
            yield (place,), (line,)

    @property
    def _in_columns(self) -> bool:
        """Whether another process makes the lines."""
        columnar = containers.decoder is None and all(one.packing in COLUMNS for _, one in self.parts)
        return columnar and not self.pieces and (self.layout is not None or len(self.parts) > 1)

    def _from_columns(self, tell: Tell) -> Iterator[Block]:
        """Lines that one process makes of the columns of all parts: the layout's work is done beside ours."""
        parts = [str(path) for path, _ in self.parts]
        task: ColumnsTask = {"path": str(self.path), "parts": parts, "fields": dict(self.given)}
        with containers.from_pyarrow(self.path, self.parts[0][1].packing, ("pairs", json.dumps(task))) as content:
            while (head := content.readline()).endswith(b"\n"):
                share, records, *sizes = head.split()
                of_numbers, of_lines = map(int, sizes)
                if len(block := content.read(of_numbers + of_lines)) < of_numbers + of_lines:
                    break
                if of_numbers:
                    yield array("q", block[:of_numbers]), block[of_numbers:].split(b"\n")
                tell(float(share), int(records))

    def _alike(self, numbered: Numbered) -> Numbered:
        """The record; one whose preference another layout would read, as a line that says what it lacks."""
        place, record = numbered
        if isinstance(record, bytes) or record.keys() >= self.common:
            return numbered
        if 2 * len(self.common & record.keys()) >= len(self.common):
            return numbered
        other = table.recognise([record])
        if not _is_house(record) and (other is None or other.name == self.name):
            return numbered
        return place, _ENCODER.encode({"lacks": min(self.common - record.keys())}).encode()

    def _joined(self, tell: Tell) -> Iterator[tuple[int, Made | bytes]]:
        """Rows of all pieces, numbered through."""
        before = last = 0
        for done, piece in enumerate(self.pieces):

            def heard(share: float, records: int, done: int = done, before: int = before) -> None:
                nonlocal last
                last = before + records
                tell((done + share) / len(self.pieces), last)

            for place, made in piece.made(heard):
                yield before + place, made
            before = last

    def _is_held(self, made: tuple[int, Made | bytes]) -> bool:
        """Whether a row is in the part that is meant; what holds no pair is in the training part."""
        place, one = made
        row = house.read_line(one, place) if isinstance(one, bytes) else house.read_made(one, place)
        assert self.part is not None
        return self.part.holds(row) if isinstance(row, Row) else self.part.side == "train"

    def _records(self, tell: Tell, parsed: bool) -> Iterator[Any]:
        """Records of all parts, numbered through."""
        before = 0
        for done, (path, container) in enumerate(self.parts):
            place = 0
            with containers.open_records(path, container) as (records, share):
                for place, record in records:
                    if not place & 0x3FF:
                        tell((done + share()) / len(self.parts), before + place)
                    yield before + place, _parsed(record, container) if parsed else _cells(record, container)
            before += place
        tell(1.0, before)


def _encoded(made: Made) -> bytes:
    """A line; bytes of a table or array that were no UTF-8 come out as they were."""
    text = "".join(_encode(made, 0))
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _parsed(record: Mapping[str, object] | bytes, container: Container) -> Mapping[str, object] | bytes:
    """The object of a record, or its bytes where it holds none."""
    if not isinstance(record, bytes):
        return record
    if container.form != "lines":
        return record
    return house.object_of(record) or record


def _cells(record: Mapping[str, object] | bytes, container: Container) -> Mapping[str, object] | bytes:
    """A table's row in the house's names: cells may hold dialogues as text, and numbers are texts."""
    if isinstance(record, bytes) or container.form != "table":
        return record
    made = {
        name: read_side(cell) if name in ("prompt", "chosen", "rejected") else cell for name, cell in record.items()
    }
    if "margin" in made:
        margin = number(made.pop("margin"))
        made |= {} if margin is None else {"margin": margin}
    return made


def recognise(path: Path | str, fields: Fields | None = None) -> PairReading:
    """How a file or folder is read. Raises OSError: Unreadable, with what was seen, where it holds no known layout.

    `fields` is a person's own mapping, see `trainer.layouts.given`; it goes before what would be found, wherever the
    file has the fields that it names.
    """
    if len(files := joined.pieces(path)) > 1:
        pieces = tuple(recognise(file, fields) for file in files)
        return PairReading(Path(path), tuple(part for piece in pieces for part in piece.parts), None, pieces=pieces)
    place, _ = held_out.parse(path)
    return recognise_parts(path, containers.shards(place), fields)


def recognise_parts(path: Path | str, parts: Sequence[Path], fields: Fields | None = None) -> PairReading:
    """The same, where the files that the name stands for are known."""
    place, part = held_out.parse(path)
    facts = tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in parts)
    found = _recognise(place, tuple(parts), facts, tuple(sorted((fields or {}).items())))
    return replace(found, path=Path(path), part=part) if part else found


@functools.lru_cache(maxsize=64)
def _recognise(path: Path, parts: tuple[Path, ...], _facts: object, fields: tuple[tuple[str, str], ...]) -> PairReading:
    looks = [containers.look(part)[0] for part in parts]
    heads = containers.heads(path, list(zip(parts, looks, strict=True)), SAMPLE)
    found = [_read_as(part, look, dict(fields), heads.get(part)) for part, look in zip(parts, looks, strict=True)]
    kinds = {layout.name if layout else HOUSE for _, layout, *_ in found}
    if len(kinds) > 1:
        what = f"its files are of several layouts: {', '.join(sorted(kinds))}"
        raise Unreadable(path, "several_layouts", what, layouts=", ".join(sorted(kinds)))
    containers_of = tuple((part, container) for part, (container, *_) in zip(parts, found, strict=True))
    _, layout, further, common = found[0]
    return PairReading(path, containers_of, layout, further, common=common, given=fields)


def _read_as(path: Path, container: Container, fields: Fields, head: Sequence[bytes] | None = None) -> _Found:
    """What the first records of a file show; `head`: these records, where they were read before."""
    sample: list[Mapping[str, object] | bytes] = list(head or ())
    if head is None:
        with containers.open_records(path, container) as (records, _):
            for _, record in records:
                if not (isinstance(record, bytes) and record.isspace()):
                    sample.append(record)
                if len(sample) >= SAMPLE:
                    break
    parsed = [_parsed(record, container) for record in sample]
    objects = [record for record in parsed if not isinstance(record, bytes)]
    if len(sample) == len(objects) == 1 and not container.inside and (inside := _wrapping(objects[0])):
        return _read_as(path, replace(container, form="items", inside=inside), fields)
    layout = _layout_of(path, container, sample, objects, fields)
    return container, layout, () if layout else tuple(_further(objects)), _common(objects)


def _common(objects: Sequence[Mapping[str, object]]) -> frozenset[str]:
    counts = Counter(name for record in objects for name in record)
    return frozenset(name for name, count in counts.items() if 2 * count > len(objects))


_WRAPPERS = ("data", "rows", "examples", "instances", "records", "samples", "items", "pairs", "train")


def _wrapping(record: Mapping[str, object]) -> str:
    """The field of a file's only object that holds the records; empty where it is a record itself."""
    for name in _WRAPPERS:
        found = record.get(name)
        if isinstance(found, list) and found and all(isinstance(one, dict) for one in found[:SAMPLE]):
            return name
    return ""


def _further(objects: list[Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """What lines of the house's own layout hold beside a prompt and two answers."""
    scores = next((pair for pair in SCORES if any(pair[0] in record and pair[1] in record for record in objects)), None)
    if any(record.get("margin") is not None for record in objects):
        yield "margin", "margin"
    elif scores:
        yield "margin", f"{scores[0]} − {scores[1]}"
    if any(record.get("system") for record in objects):
        yield "system", "system"


def _layout_of(
    path: Path, container: Container, sample: list[Any], objects: list[Mapping[str, object]], fields: Fields
) -> PairLayout | None:
    if chosen := given.recognise(objects, fields):
        return chosen
    if seen := _seen_or_heard(objects):
        what = f"its rows have images, audio or video (the field '{seen}')"
        raise Unreadable(path, "not_text", what, field=seen)
    cells = [_cells(record, container) for record in sample]
    if begun := beside.recognise(objects):
        return begun
    own = sum(map(_is_house, cells))
    mostly = bool(own) and 2 * own >= len(objects)
    more = beside.left_over(objects, None) if mostly else ""
    if mostly and not more:
        return None
    found = table.recognise(objects) if not mostly or more in beside.READ_ELSEWHERE else None
    more = beside.left_over(objects, found) if found or mostly else ""
    if more:
        raise Unreadable(path, "beside", f"nothing says how its field '{more}' belongs to the prompt", field=more)
    if found or own or not objects or any(_is_near(record) for record in objects):
        return found
    names = list(dict.fromkeys(name for record in objects for name in record))
    if "ranking" in names and isinstance(objects[0].get("ranking"), list):
        raise Unreadable(path, "ranking", "'ranking' may be the answers' ranks or their numbers in order")
    shown = ", ".join(map(repr, names[:_SHOWN])) + (" …" if len(names) > _SHOWN else "")
    raise Unreadable(
        path,
        "no_layout",
        f"{container} with the fields {shown}: none says which of two answers is better",
        container=str(container),
        fields=shown,
    )


_NOT_TEXT = ("image", "images", "image_path", "image_url", "video", "videos", "audio", "audios")


def _seen_or_heard(objects: Sequence[Mapping[str, object]]) -> str:
    """The field of most records that holds what a model of texts neither sees nor hears; empty where there is none.

    Pictures as parts of a message are found there, with the row."""
    for name in _NOT_TEXT:
        if 2 * sum(bool(record.get(name)) for record in objects) > len(objects):
            return name
    return ""


def _is_house(record: Any) -> bool:
    found = house.read_line(record, 0) if isinstance(record, bytes) else house.read_made(dict(record), 0)
    return isinstance(found, Row) or found.kind == "left_out"


def _is_near(record: Mapping[str, object]) -> bool:
    """Whether a record is meant to be in the house's layout: it has one of the answers, and lines can be corrected."""
    return any(name.strip().casefold() in ("chosen", "rejected") for name in record)
