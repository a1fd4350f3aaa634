"""JSON Schemas of the documents, made from their types (`rmtui/documents`): one page of `docs/schema` a verb."""

from __future__ import annotations

import ast
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from rmtui.documents.data import (
    CheckDocument,
    ConvertDocument,
    FloorsDocument,
    GroupsDocument,
    ImportDocument,
    ImportedAgain,
    ImportedPreset,
    PairsDocument,
    RelabelDocument,
    SuspectsDocument,
)
from rmtui.documents.guide import AdviseDocument, CompareDocument, LearningCurveDocument
from rmtui.documents.launching import DiagnosisDocument, OptionDocument, PlaceDocument, PlanDocument, PresetDocument
from rmtui.documents.runs import ExportDocument, LaunchDocument, RunDocument, ShowDocument, TestDocument
from rmtui.documents.tuning import TuneDocument, TunePlanDocument
from trainer.documents import MergeDocument, ResponsesDocument, ScoreDocument, VerifyDocument
from trainer.values import Limits, Value

Schema = dict[str, Any]
DOCUMENTS: dict[str, tuple[str, Any]] = {
    "advise": ("rmtui advise RUN --json", AdviseDocument),
    "check": ("rmtui check FILE… --json", CheckDocument),
    "floors": ("rmtui floors TRAIN VAL --json", FloorsDocument),
    "suspects": ("rmtui suspects TRAIN --json", SuspectsDocument),
    "relabel": ("rmtui relabel FILE --json", RelabelDocument),
    "learning-curve": ("rmtui learning-curve RUN --json", LearningCurveDocument),
    "convert": ("rmtui convert FILE OUT --json", ConvertDocument),
    "compare": ("rmtui compare RUN RUN… --json", CompareDocument),
    "doctor": ("rmtui doctor --json", list[DiagnosisDocument]),
    "export": (
        "rmtui export RUN… --format json: an object for one run, a list for several",
        ExportDocument | list[ExportDocument],
    ),
    "import": (
        "rmtui import PATH… --json, or with --as-preset or --again",
        ImportDocument | ImportedPreset | ImportedAgain,
    ),
    "launch": (
        "rmtui launch PRESET --json: an object for one run, a list for several; stop and resume: an object",
        LaunchDocument | list[LaunchDocument],
    ),
    "ls": ("rmtui ls --json", list[RunDocument]),
    "merge": ("rmtui merge RUN DIR --json", MergeDocument),
    "test": ("rmtui test RUN --json", TestDocument),
    "pairs": ("rmtui pairs RUN --json, and with --by FIELD", PairsDocument | GroupsDocument),
    "plan": (
        "rmtui launch PRESET --dry-run --json: an object for one run, a list for several",
        PlanDocument | list[PlanDocument],
    ),
    "presets": (
        "rmtui presets --json; an object with a NAME; with --options every key",
        list[PresetDocument] | PresetDocument | list[OptionDocument],
    ),
    "queue": ("rmtui queue --json: the waiting runs, first in line first", list[PlaceDocument]),
    "score": (
        "rmtui score RUN|MODEL_DIR FILE --json, of pairs or of single responses",
        ScoreDocument | ResponsesDocument,
    ),
    "show": ("rmtui show RUN --json", ShowDocument),
    "tune": ("rmtui tune --json, and with --dry-run", TuneDocument | TunePlanDocument),
    "verify": ("rmtui verify RUN --json", VerifyDocument),
}
_PLAIN = {str: "string", Path: "string", bool: "boolean", int: "integer", float: "number", types.NoneType: "null"}
_NAMES = {"exclusive_minimum": "exclusiveMinimum"}


def page(name: str) -> str:
    """The text of docs/schema/NAME.json."""
    title, document = DOCUMENTS[name]
    held: dict[str, Schema] = {}
    top = _schema(document, held)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **top, "$defs": held}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _schema(kind: Any, held: dict[str, Schema]) -> Schema:
    """A type as a schema; what it names goes into `held` once and is referred to."""
    if kind == Value or isinstance(kind, typing.ForwardRef):  # the alias names itself, so it stays a string
        return {}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if typing.is_typeddict(kind):
        return _reference(kind, held)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _any_of([_schema(one, held) for one in arguments])
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin is Annotated:
        return _limited(_schema(arguments[0], held), arguments[1])
    if origin in (NotRequired, Required):
        return _schema(arguments[0], held)
    if origin is tuple:
        inner = [_schema(one, held) for one in arguments]
        return {"type": "array", "prefixItems": inner, "minItems": len(inner), "maxItems": len(inner)}
    if origin in (list, Sequence):
        return {"type": "array", **_inner("items", _schema(arguments[0], held))}
    if origin in (dict, Mapping):
        keys = {"propertyNames": _schema(arguments[0], held)} if arguments[0] is not str else {}
        return {"type": "object", **keys, **_inner("additionalProperties", _schema(arguments[1], held))}
    raise TypeError(f"{kind} has no schema")


def _inner(key: str, schema: Schema) -> Schema:
    return {key: schema} if schema else {}


def _any_of(schemas: Sequence[Schema]) -> Schema:
    """Plain types are one list of types; what is any of several already joins the others."""
    if {} in schemas:
        return {}
    if all(set(schema) == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": [one for schema in schemas for one in (schema["anyOf"] if set(schema) == {"anyOf"} else [schema])]}


def _limited(schema: Schema, limits: Limits) -> Schema:
    if limits.non_finite:
        return {"anyOf": [schema, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
    known = {name: value for name, value in limits._asdict().items() if value is not None and value is not False}
    if count := known.pop("items", None):
        known |= {"minItems": count, "maxItems": count}
    if "enum" in known:
        return {"enum": list(known["enum"])}
    return schema | {_NAMES.get(name, name): value for name, value in known.items()}


def _reference(document: Any, held: dict[str, Schema]) -> Schema:
    name = document.__name__
    if name not in held:
        held[name] = {}
        keys, about = document.__annotations__, _about(document)
        held[name] = {
            **_described(document.__doc__),
            "type": "object",
            "properties": {key: _schema(kind, held) | _described(about.get(key)) for key, kind in keys.items()},
            "required": [key for key in keys if key in document.__required_keys__],
        }
    return {"$ref": f"#/$defs/{name}"}


def _described(text: str | None) -> Schema:
    return {"description": " ".join(text.split())} if text else {}


def _about(document: Any) -> dict[str, str]:
    """What is written below a key in the source, for the document's own keys and those it inherits."""
    tree = ast.parse(Path(sys.modules[document.__module__].__file__ or "").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    texts: dict[str, str] = {}
    waiting = [document.__name__]
    while waiting:
        if (node := classes.get(waiting.pop())) is not None:
            texts = dict(_key_texts(node)) | texts
            waiting += [base.id for base in node.bases if isinstance(base, ast.Name)]
    return texts


def _key_texts(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for key, below in pairwise(node.body):
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(below, ast.Expr):
            yield key.target.id, str(ast.literal_eval(below.value))
