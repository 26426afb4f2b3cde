"""Verbs on tasks that one process at a time should do. No safety rests on it, only thrift."""

from __future__ import annotations

from sqlalchemy import Connection, case, or_, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.db.upsert import insert_into


def campaign(
    conn: Connection, name: str, holder: str, ttl: float, *, now: float | None = None
) -> int | None:
    """Lead for `ttl` seconds from now; the term while we do, None while another one does.

    The term grows whenever the holder changes.
    """
    leader, until = tables.leader.c, db_now(now) + ttl
    term = case((leader.holder == holder, leader.term), else_=leader.term + 1)
    won: int | None = conn.scalar(
        insert_into(conn, tables.leader)
        .values(name=name, holder=holder, term=1, until=until)
        .on_conflict_do_update(
            index_elements=[leader.name],
            set_={"holder": holder, "term": term, "until": until},
            where=or_(leader.holder == holder, leader.until < db_now(now)),
        )
        .returning(leader.term)
    )
    return won


def resign(conn: Connection, name: str, holder: str) -> bool:
    """Let the next one lead at once; false where we do not lead."""
    leader = tables.leader.c
    return bool(
        conn.execute(
            update(tables.leader)
            .where(leader.name == name, leader.holder == holder)
            .values(until=0.0)
        ).rowcount
    )
