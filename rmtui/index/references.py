"""Which run a person means: id, name, unique prefix, @latest, @best."""

from __future__ import annotations

from rmtui.errors import UserError
from rmtui.index.sqlite import Connection

_NEWEST = """SELECT id, val_fingerprint, data FROM runs WHERE state != 'imported'
    ORDER BY launched DESC, created DESC, id DESC LIMIT 1"""


def unknown(text: str) -> UserError:
    """No run is called so."""
    return UserError(
        f"there is no run {text}", "no id, name or beginning of one fits", "see `rmtui ls` for their names"
    )


def resolve(connection: Connection, text: str) -> str:
    """The id of the run that is meant; UserError if none fits or several do."""
    if text == "@latest":
        return _newest(connection)[0]
    if text == "@best":
        return _best(connection)
    for condition, value in (
        ("id = ?", text),
        ("name = ?", text),
        ("name = ? COLLATE NOCASE", text),
        (r"id LIKE ? ESCAPE '\' OR name LIKE ? ESCAPE '\'", _prefix(text)),
    ):
        values = (value,) * condition.count("?")
        found = connection.execute(
            f"SELECT id, name FROM runs WHERE {condition} ORDER BY id DESC LIMIT 6", values
        ).fetchall()
        if len(found) > 1:
            raise _ambiguous(text, found)
        if found:
            return str(found[0][0])
    raise unknown(text)


def _prefix(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{escaped}%" if text else ""


def _ambiguous(text: str, found: list[tuple[str, str]]) -> UserError:
    several = ", ".join(f"{run_id} ({name})" if name != run_id else run_id for run_id, name in found[:5])
    more = " and more" if len(found) > 5 else ""
    return UserError(f"{text} fits several runs", f"{several}{more}", "name one by its id")


def _newest(connection: Connection) -> tuple[str, str | None, str | None]:
    row = connection.execute(_NEWEST).fetchone()
    if row is None:
        raise UserError("there is no run yet", "@latest is the newest run made here", "start one with: rmtui launch A")
    return row[0], row[1], row[2]


def _best(connection: Connection) -> str:
    """The run with the best evaluation on the validation set of @latest, by `trainer.best`; of equal ones the older."""
    newest, fingerprint, data = _newest(connection)
    column, value = ("val_fingerprint", fingerprint) if fingerprint else ("data", data)
    row = connection.execute(
        f"""SELECT id FROM runs WHERE best_val_acc IS NOT NULL AND {column} IS ?
        ORDER BY best_val_acc DESC, best_val_loss IS NULL, best_val_loss, created, id LIMIT 1""",
        (value,),
    ).fetchone()
    if row is None:
        raise UserError(
            "no run has a val_acc yet",
            f"@best is the highest val_acc on the validation set of {newest}",
            "wait for the first evaluation, or name a run",
        )
    return str(row[0])
