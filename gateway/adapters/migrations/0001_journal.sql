-- The journal: the single truth. One text for both databases; the dialects say which words are replaced for which, and lines
-- that begin with the name of a database are there for that one alone.
--
-- needs: 1
--
-- integer, text, blob: as they are called. moment: a time, UTC, microseconds. Booleans are 0 and 1. Columns marked "sealed"
-- hold text from people or targets, encrypted with the submission's data key (vault.py); erasing the key erases them.

-- needs: the last migration that a program must know to work with the tables as they are after this one.
create table migration (
  no integer primary key, name text not null, digest blob not null, at moment not null, needs integer) strict;

-- Numbers are given out by us and not by the database, so that they follow the order of commits and none is used twice. On
-- PostgreSQL a row that every commit writes would grow a tail of dead versions behind every long read (a dump): there the
-- numbers are kept in sequences, set while one writer alone has its turn, and here stands only the last line of the history
-- that was sealed. key_id: the site key that what is new is wrapped with.
create table counter (
  one integer primary key check (one = 1),
  submission integer not null, delivery integer not null, history integer not null, key_id text) strict;
insert into counter values (1, 0, 0, 0, null);
--postgres: create sequence submission_no minvalue 0 start 0;
--postgres: create sequence delivery_no minvalue 0 start 0;

create table submission (
  seq integer primary key, id text not null unique, reference text not null unique,
  portal text not null, authority text not null, leistung text not null, ars text not null,
  package text not null, message_type text not null, message_uuid text,
  origin text not null check (origin in ('message', 'form')),
  test integer not null check (test in (0, 1)),
  digest blob not null, fingerprint blob not null, size integer not null,
  traceparent text, received_at moment not null, key_id text not null, wrapped_key blob,
  staged integer not null check (staged >= 0), -- 0, or the number of the process that is still storing its documents
  erase_after moment, erased_at moment,
  check ((erased_at is not null) = (wrapped_key is null))) strict;
create index submission_staged on submission (seq) where staged > 0;
create index submission_key on submission (key_id) where wrapped_key is not null;
create index submission_erasable on submission (erase_after) where erased_at is null and erase_after is not null;

-- What stands under an idempotency key (P4). No reference to submission: a claim is written before its submission, and a
-- deferred check would search this table for every new submission.
create table claim (
  portal text not null, kind text not null check (kind in ('key', 'message', 'form')), key_hash blob not null,
  fingerprint blob not null, submission integer not null, expires_at moment not null,
  primary key (portal, kind, key_hash)) strict;
create index claim_expiring on claim (expires_at);

create table document (
  submission integer not null references submission (seq), no integer not null,
  role text not null check (role in ('received', 'message', 'attachment', 'edited', 'rendered')),
  made_from integer, made_by text, name blob /* sealed */, media_type text not null,
  size integer not null, digest blob not null, chunks integer not null, created_at moment not null,
  primary key (submission, no)) strict, without rowid;

-- At most 1 MiB each, each encrypted on its own.
create table chunk (
  submission integer not null, document integer not null, no integer not null, body blob not null /* sealed */,
  primary key (submission, document, no)) strict;
--postgres: alter table chunk alter column body set storage external; -- what is encrypted cannot be compressed

create table delivery (
  seq integer primary key, id text not null unique, submission integer not null references submission (seq),
  purpose text not null check (purpose in ('case', 'copy', 'notice')),
  authority text not null, leistung text not null, target text, document integer not null,
  replaces integer references delivery (seq), after integer references delivery (seq), order_key blob,
  state text not null
    check (state in ('pending', 'delivering', 'delivered', 'dead', 'returned', 'closed', 'withdrawn')),
  revision integer not null,
  waiting_for text check (waiting_for in
    ('turn', 'backoff', 'lookup', 'confirmation', 'window', 'breaker', 'paused', 'order', 'snooze')),
  next_attempt_at moment, lease_until moment, claimed_by text,
  attempts integer not null, crashes integer not null,
  in_doubt integer not null check (in_doubt in (0, 1)),
  failing_since moment, give_up_at moment,
  class text check (class in
    ('refused', 'exhausted', 'in_doubt', 'unconfirmed', 'unroutable', 'invalid', 'defect', 'poison')),
  closed_as text check (closed_as in ('by_hand', 'duplicate', 'redirected', 'forwarded')),
  code text, cause blob, cause_text blob /* sealed */, case_number blob /* sealed */, outcome blob /* sealed */,
  received_at moment not null, changed_at moment not null,
  constraint pending_has_a_due_time check ((state = 'pending') = (next_attempt_at is not null)),
  constraint pending_says_what_it_waits_for check ((state = 'pending') = (waiting_for is not null)),
  constraint delivering_has_a_lease check ((state = 'delivering') = (lease_until is not null)),
  constraint dead_has_a_class check ((state = 'dead') = (class is not null)),
  constraint closed_says_how check ((state = 'closed') = (closed_as is not null)),
  constraint only_unroutable_or_closed_has_no_target check (target is not null
    or coalesce(class, '') in ('unroutable', 'invalid') or state in ('closed', 'returned', 'withdrawn')),
  constraint in_doubt_is_neither_withdrawn_nor_redirected check (in_doubt = 0
    or (state <> 'withdrawn' and coalesce(closed_as, '') not in ('redirected', 'forwarded')))) strict;
-- One delivery of a submission to a target at a time; notices to the portal may be several, and what has moved on does not
-- count. Not a partial index: the deliveries of a submission are found by it.
create unique index delivery_once on delivery (submission, target, purpose,
  (case when purpose = 'notice' or coalesce(closed_as, '') in ('redirected', 'forwarded') then seq else 0 end));
-- What is open is found without touching what is done; received_at and in_doubt are there for the figures.
create index delivery_due on delivery (target, next_attempt_at, seq, received_at, in_doubt) where state = 'pending';
create index delivery_overdue on delivery (give_up_at) where state = 'pending' and give_up_at is not null;
create index delivery_leased on delivery (lease_until, target, received_at) where state = 'delivering';
create index delivery_dead on delivery (received_at, seq, target, in_doubt) where state = 'dead';
create index delivery_order on delivery (target, order_key, seq)
  where order_key is not null and state in ('pending', 'delivering', 'dead');
create index delivery_after on delivery (after) where after is not null;
--postgres: alter table delivery set (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);

-- What happened, and who did it. facts: canonical JSON of codes, sizes, digests and versions; never text. A row carries its
-- own hash over all its fields, with the digest of its private text as encrypted (seal.py says how). The transitions are those of
-- submission.TRANSITIONS; a test compares.
create table history (
  no integer primary key, at moment not null, actor text not null, subject text not null,
  submission integer, delivery integer, revision integer,
  event text not null, from_state text, to_state text, attempt integer,
  outcome text, code text, facts text not null, private_digest blob, entry_hash blob not null,
  constraint only_transitions_of_the_table check (delivery is null or coalesce(case event
    when 'accept' then from_state is null and to_state = 'pending'
    when 'hold' then from_state is null and to_state = 'dead'
    when 'claim' then from_state = 'pending' and to_state = 'delivering'
    when 'expire' then from_state = 'pending' and to_state = 'dead'
    when 'withdraw' then from_state in ('pending', 'dead') and to_state = 'withdrawn'
    when 'confirm' then from_state = 'delivering' and to_state = 'delivered'
    when 'postpone' then from_state = 'delivering' and to_state = 'pending'
    when 'hand_over' then from_state = 'delivering' and to_state = 'pending'
    when 'lapse' then from_state = 'delivering' and to_state = 'pending'
    when 'give_up' then from_state = 'delivering' and to_state = 'dead'
    when 'redeliver' then from_state = 'delivered' and to_state = 'pending'
    when 'refuse_late' then from_state = 'delivered' and to_state = 'dead'
    when 'replay' then from_state = 'dead' and to_state = 'pending'
    when 'return' then from_state = 'dead' and to_state = 'returned'
    when 'close' then from_state = 'dead' and to_state = 'closed'
    when 'reopen' then from_state = 'closed' and to_state = 'dead'
    else true end, false))) strict;
create index history_of_submission on history (submission, no) where submission is not null;

-- The sealer's numbers and chain over committed history, beside it and not in it: rows only ever come at the end.
create table chain (
  sealed_no integer primary key, history integer not null unique references history (no), chain_hash blob not null) strict;

-- Signed heads of the chain: what shows that its end was cut off.
create table seal (
  sealed_no integer primary key references chain (sealed_no), chain_hash blob not null, at moment not null,
  key_id text not null, signature blob not null, exported_at moment) strict;

-- Texts that belong to a line of the history. Without a submission they have a key of their own.
create table private (
  history integer primary key references history (no), submission integer references submission (seq),
  body blob not null /* sealed */, key_id text, wrapped_key blob,
  check ((submission is null) = (wrapped_key is not null)), check ((key_id is null) = (wrapped_key is null))) strict;
create index private_of_submission on private (submission) where submission is not null;

create table step (
  delivery integer not null references delivery (seq), name text not null, body blob not null /* sealed */,
  at moment not null, primary key (delivery, name)) strict;

-- State of a target that people and failures change; what it is stands in the site file. Texts are sealed with the site key.
create table target (
  name text primary key, paused_reason blob, paused_at moment, paused_until moment,
  breaker text not null check (breaker in ('closed', 'open', 'probing')), breaker_cause blob, breaker_since moment,
  probe_at moment, streak integer not null, streak_cause blob, revision integer not null) strict;

create table credential (
  id text primary key, holder text not null, kind text not null, hash blob not null, scope text not null,
  created_at moment not null, expires_at moment, revoked_at moment, last_used_on text) strict;

-- How many cases ended how, and how soon after receipt: survives erasure. Without tests, copies and notices. day: in
-- Germany. outcome: delivered, by_hand, duplicate, returned, withdrawn. within: 1m, 10m, 1h, 1d, 7d, longer.
create table tally (
  day text not null, authority text not null, leistung text not null, portal text not null, outcome text not null,
  within text not null, n integer not null, primary key (day, authority, leistung, portal, outcome, within))
  strict, without rowid;
