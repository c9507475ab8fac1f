"""Keeping the journal: sealing, erasing, wrapping keys anew, putting staged documents there and away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.adapters.accepting import KeyRetired, Prepared, is_retired
from gateway.adapters.sql import Count, Dialogue, Each, Many, Rows, as_text
from gateway.adapters.work import Line, Work, each
from gateway.seal import GENESIS, SIGN_AFTER, SIGN_EVERY, chain_hash, head_message
from gateway.submission import State
from gateway.vault import KeyLost, Vault


def sealing_wanted(at: datetime, load: Any) -> Dialogue[bool]:
    """Is there anything to chain or to sign? Read only, so that an idle gateway writes nothing."""
    ((last, sealed_no, history, _, signed_no, signed_at),) = yield Rows("heads")
    return last > (history or 0) or _to_sign(sealed_no or 0, signed_no, signed_at and load(signed_at), at)


@each
def seal(work: Work, one: tuple[datetime, int]) -> Dialogue[int]:
    """How many; none while another process is at it.

    Lines are numbered in the order in which they are committed, so that whatever can be seen of them is the beginning, and
    none can appear later before one that was sealed."""
    at, limit = one
    if not (yield Rows("turn_to_seal")):
        return 0
    ((_, sealed_no, history, chain, signed_no, signed_at),) = yield Rows("heads")
    sealed_no, chain = sealed_no or 0, chain or GENESIS
    links = []
    for no, entry in (yield Rows("unsealed", (history or 0, limit))):
        sealed_no += 1
        chain = chain_hash(chain, sealed_no, entry)
        links.append((sealed_no, no, chain))
    if links:
        yield Many("insert_chain", links)
        yield Count("remember_last_line", (links[-1][1],))
    if _to_sign(sealed_no, signed_no, signed_at and work.rows.load(signed_at), at):
        key_id, signature = work.rows.keyring.vault.sign(head_message(sealed_no, chain, as_text(at)))
        yield Count("insert_seal", (sealed_no, chain, work.rows.time(at), key_id, signature))
    return len(links)


def _to_sign(sealed_no: int, signed_no: int | None, signed_at: datetime | None, at: datetime) -> bool:
    if sealed_no == (signed_no or 0):
        return False
    return signed_at is None or sealed_no - (signed_no or 0) >= SIGN_EVERY or at - signed_at >= SIGN_AFTER


@each
def erase(work: Work, one: tuple[str, datetime]) -> Dialogue[bool]:
    """Key, chunks, names, texts. Its lines in the history and its claims, hashes both, stay."""
    submission_id, at = one
    rows = yield Rows("erase_submission", (submission_id, work.rows.time(at)))
    if not rows:
        return False
    seq = rows[0][0]
    for name in ("delete_chunks_of", "erase_names", "erase_texts", "erase_private", "erase_steps"):
        yield Count(name, (seq,))
    work.lines.append(Line(at, "nahtlos", submission_id, "erase", submission=(seq, submission_id)))
    work.rows.keyring.forget(submission_id)
    return True


@each
def purge_claims(work: Work, one: tuple[datetime, int]) -> Dialogue[int]:
    """Claims whose time is over; how many."""
    at, limit = one
    purged: int = yield Count("delete_expired_claims", (work.rows.time(at), limit))
    return purged


def begin_staging(work: Work, group: Sequence[Prepared]) -> Dialogue[list[int | KeyRetired]]:
    """The numbers under which chunks may be put there. Nobody sees a staged submission."""
    yield from ()
    answers: list[int | KeyRetired] = []
    for one in group:
        if is_retired(work, one):
            answers.append(KeyRetired())
            continue
        number = work.take(submissions=1)[0] + 1
        work.inserts.append(Many("insert_submission", [(number, *one.submission)]))
        answers.append(number)
    return answers


def staged() -> Dialogue[list[int]]:
    """Numbers of what was staged and never accepted."""
    found: list[tuple[Any, ...]] = yield Rows("staged_submissions")
    return [seq for (seq,) in found]


@each
def stage(work: Work, rows: Sequence[tuple[Any, ...]]) -> Dialogue[None]:
    yield Many("insert_chunk", rows)


@each
def unstage(work: Work, seq: int) -> Dialogue[None]:
    """Take away what was staged and is not wanted; what has been accepted meanwhile stays."""
    yield Count("delete_staged_submission", (seq,))
    yield Count("delete_orphaned_chunks_of", (seq,))


@each
def keep_up(_: Work, __: None) -> Dialogue[None]:
    """Nothing but what every transaction begins with: from its commit on the newest site key is in force."""
    yield from ()


def missing_key(vault: Vault) -> Dialogue[str | None]:
    """The site key in force, if it is not there."""
    ((key_id,),) = yield Rows("key_in_force")
    try:
        if key_id is not None:
            vault.follow(key_id)
    except KeyLost:
        return str(key_id)
    return None


def give_up_key(vault: Vault) -> Dialogue[None]:
    """What was wrapped with a key that is not there stays as it is; what is new is wrapped with the newest that is."""
    if (yield from missing_key(vault)) is not None:
        yield Count("put_key_in_force", (vault.newest,))


@each
def rewrap(work: Work, one: tuple[str, int]) -> Dialogue[int]:
    """Up to ``limit`` data keys that a given site key wraps are wrapped by the newest; how many."""
    vault, (key_id, limit) = work.rows.keyring.vault, one
    rows = yield Rows("keys_to_rewrap", (key_id, limit))
    yield Each("rewrap_key", [(seq, *vault.rewrap(submission_id, key_id, wrapped)) for seq, submission_id, wrapped in rows])
    return len(rows)


@each
def rewrap_others(work: Work, _: None) -> Dialogue[int]:
    """The keys of notes and the texts of targets, which belong to no submission; how many. Lost keys are passed over."""
    vault, done = work.rows.keyring.vault, 0
    for no, key_id, wrapped, subject in (yield Rows("private_keys_to_rewrap", (vault.newest,))):
        if key_id in vault.key_ids:
            yield Count("rewrap_private_key", (no, *vault.rewrap(f"note {subject}", key_id, wrapped)))
            done += 1
    for row in (yield Rows("targets")):
        target = work.rows.target(row, vault)
        texts = [text for text in (row[1], row[5]) if text is not None]
        if any(not vault.sealed_with_newest(text) for text in texts) and all(vault.can_open(text) for text in texts):
            yield Count("rewrap_target", (target.name, *work.rows.target_row(target, vault)[0:5:4]))
            done += 1
    return done


@dataclass(frozen=True, slots=True)
class Doubted:
    """last: number of the last delivery looked at; ``None``: there are no more. How many of each are now in doubt."""

    last: int | None
    open_deliveries: int = 0
    dead_letters: int = 0


@each
def put_in_doubt(work: Work, one: tuple[int, datetime, int]) -> Dialogue[Doubted]:
    """Whatever may still be sent, because this journal is a copy and what came after it is not known: the open deliveries,
    and the dead letters, which may have been replayed since, also with another document. One without a target is only told in
    the history: it can still be returned or redirected, and ``operate`` sees there that it must ask before it sends.

    (after, at, limit): a page of them in each transaction; nobody else works on the journal meanwhile.
    """
    after, at, limit = one
    rows = yield Rows("not_final", (after, limit))
    put: dict[State, list[tuple[Any, ...]]] = {State.PENDING: [], State.DEAD: []}
    for row in rows:
        seq, submission_id, delivery = row[0], row[1], work.rows.delivery(row)
        held = yield from work.rows.keyring.held(submission_id)
        stays = State.DEAD if delivery.state is State.DEAD else State.PENDING
        if routed := delivery.target is not None:
            put[stays].append((seq, work.rows.time(at)))
        work.lines.append(Line(
            at, "nahtlos", delivery.id, "restore", "{}", (held.seq, submission_id) if held else None, (seq, delivery.id),
            delivery.revision + routed, delivery.state.value, stays.value,
        ))
    yield Each("put_in_doubt", put[State.PENDING])
    yield Each("put_dead_in_doubt", put[State.DEAD])
    return Doubted(rows[-1][0] if rows else None, len(put[State.PENDING]), len(put[State.DEAD]))
