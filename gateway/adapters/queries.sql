-- Every statement of the journal, by name, for both databases. "-- name: x" begins the statement called x; $1, $2 are its
-- parameters; "-- name: x on postgres" is that of one database. An insert with "values (…)" may be given many rows at once.
-- Columns that both reading and writing name are written once, in sql.py: :submission: stands for them, :s.submission: for
-- the same with "s." before each.

-- name: mark
savepoint step;

-- name: keep
release savepoint step;

-- name: undo
rollback to savepoint step;

-- name: counter on sqlite
-- The last numbers given out, read while no other writer can be at it until the commit, so that numbers follow the order of
-- commits; and the site key that what is new is wrapped with.
select submission, delivery, history, key_id from counter where one = 1;

-- name: counter on postgres
select (select last_value from submission_no), (select last_value from delivery_no),
  (select coalesce(max(no), 0) from history), key_id
from counter where one = 1;

-- name: set_counter on sqlite
update counter set submission = $1, delivery = $2, history = $3 where one = 1;

-- name: set_counter on postgres
-- Not undone with the transaction: then numbers are left out. Those of the history are not kept here and never left out.
select setval('submission_no', $1), setval('delivery_no', $2) where cast($3 as bigint) is not null;

-- ---------------------------------------------------------------------------------------------------------- submission

-- name: insert_submission
insert into submission (:submission:, key_id, wrapped_key, staged) values (…);

-- name: unstage_submission
update submission set staged = 0 where seq = $1 and staged > 0;

-- name: insert_claim
insert into claim (portal, kind, key_hash, fingerprint, submission, expires_at) values (…)
on conflict (portal, kind, key_hash) do nothing;

-- name: replace_claim
insert into claim (portal, kind, key_hash, fingerprint, submission, expires_at) values ($1, $2, $3, $4, $5, $6)
on conflict (portal, kind, key_hash) do update
set fingerprint = excluded.fingerprint, submission = excluded.submission, expires_at = excluded.expires_at
where claim.expires_at <= $7;

-- name: standing_claim
select c.fingerprint, :s.submission: from claim c join submission s on s.seq = c.submission
where c.portal = $1 and c.kind = $2 and c.key_hash = $3 and c.expires_at > $4;

-- name: delete_claim
delete from claim where portal = $1 and kind = $2 and key_hash = $3 and submission = $4;

-- name: delete_expired_claims
-- The time is looked at twice: one that is taken anew while this waits for its row is not expired any more.
delete from claim where expires_at <= $1 and (portal, kind, key_hash) in (
  select portal, kind, key_hash from claim where expires_at <= $1 order by expires_at limit $2 {not_locked});

-- name: insert_document
insert into document (submission, :document:) values (…);

-- name: insert_chunk
insert into chunk (submission, document, no, body) values (…);

-- name: submission
select :s.submission: from submission s where s.id = $1 and s.staged = 0;

-- name: submission_named
select id from submission where reference = $1 and staged = 0;

-- name: received
select :s.submission: from submission s where s.seq > $1 and s.received_at >= $2 and s.staged = 0 order by s.seq limit $3;

-- name: key_of_submission
select seq, portal, test, key_id, wrapped_key from submission where id = $1;

-- name: documents
select :d.document: from document d join submission s on s.seq = d.submission where s.id = $1 order by d.no;

-- name: chunk_count
select d.chunks from document d join submission s on s.seq = d.submission where s.id = $1 and d.no = $2;

-- name: chunk
select c.body from chunk c join submission s on s.seq = c.submission where s.id = $1 and c.document = $2 and c.no = $3;

-- name: next_document
select coalesce(max(no) + 1, 0) from document where submission = $1;

-- name: staged_submissions on sqlite
select seq from submission where staged > 0 order by seq;

-- name: staged_submissions on postgres
-- Whoever is staging holds the lock of its number for as long as it lives.
select seq from submission where staged > 0 and pg_try_advisory_xact_lock({staging}, staged::int4) order by seq;

-- name: delete_chunks_of
delete from chunk where submission = $1;

-- name: delete_orphaned_chunks_of
delete from chunk where submission = $1 and not exists (select 1 from submission s where s.seq = chunk.submission);

-- name: delete_staged_submission
delete from submission where seq = $1 and staged > 0;

-- ------------------------------------------------------------------------------------------------------------ delivery

-- name: insert_delivery
insert into delivery (seq, submission, replaces, after, :delivery:) values (…);

-- name: insert_delivery_unless_there
insert into delivery (seq, submission, replaces, after, :delivery:) values (…) on conflict do nothing;

-- name: delivery
select :delivery_row: :delivery_from: where d.id = $1;

-- name: deliveries_of
-- "+ 0", here and below: sorted after they were found. Else PostgreSQL may go through the whole table in the order of its key.
select :delivery_row: :delivery_from: where s.id = $1 order by d.seq + 0;

-- name: delivery_seq
select seq from delivery where id = $1;

-- name: update_delivery
-- What never changes (ids, purpose, replaces, after, received_at) is not written; nor is, here, where it goes and how it was
-- closed, so that the index over these stays untouched.
update delivery set state = $3, revision = $4, waiting_for = $5, next_attempt_at = $6, lease_until = $7, claimed_by = $8,
  attempts = $9, crashes = $10, in_doubt = $11, failing_since = $12, give_up_at = $13, class = $14, code = $15, cause = $16,
  cause_text = $17, case_number = $18, outcome = $19, changed_at = $20
where id = $1 and revision = $2 returning seq;

-- name: update_delivery_and_route
update delivery set state = $3, revision = $4, waiting_for = $5, next_attempt_at = $6, lease_until = $7, claimed_by = $8,
  attempts = $9, crashes = $10, in_doubt = $11, failing_since = $12, give_up_at = $13, class = $14, code = $15, cause = $16,
  cause_text = $17, case_number = $18, outcome = $19, changed_at = $20,
  authority = $21, leistung = $22, target = $23, document = $24, order_key = $25, closed_as = $26
where id = $1 and revision = $2 returning seq;

-- name: claim_delivery
update delivery set state = 'delivering', revision = revision + 1, waiting_for = null, next_attempt_at = null,
  lease_until = $3, claimed_by = $4, attempts = attempts + 1, in_doubt = 1, changed_at = $5
where seq = $1 and revision = $2 and state = 'pending' and next_attempt_at <= $5;

-- name: something_stands_before
select 1 from delivery e where e.target = $1 and e.order_key = $2 and e.seq < $3 and e.state in ('pending', 'delivering', 'dead')
union all
select 1 from delivery p where p.id = $4 and p.state in ('pending', 'delivering', 'dead')
limit 1;

-- name: sealed_texts
select cause_text, case_number, outcome from delivery where id = $1;

-- name: wait_for_successor
update delivery set after = $2 where after = $1;

-- name: due
select d.id, d.target, d.crashes from delivery d
where d.state = 'pending' and d.target = $1 and d.next_attempt_at <= $2
  and (d.order_key is null or not exists (
    select 1 from delivery e where e.target = d.target and e.order_key = d.order_key and e.seq < d.seq
      and e.state in ('pending', 'delivering', 'dead')))
  and (d.after is null or not exists (
    select 1 from delivery p where p.seq = d.after and p.state in ('pending', 'delivering', 'dead')))
order by d.next_attempt_at, d.seq limit $3;

-- name: next_due
-- "order by … limit 1", where min() would say the same: PostgreSQL, which believes from yesterday's figures that hardly anything
-- is open, would go through all that is open to find the least of it.
with recursive waiting (target) as (
  select (select d.target from delivery d where d.state = 'pending' order by d.target limit 1)
  union all
  select (select d.target from delivery d where d.state = 'pending' and d.target > w.target order by d.target limit 1)
  from waiting w where w.target is not null)
select min((select d.next_attempt_at from delivery d where d.state = 'pending' and d.target = w.target
  order by d.next_attempt_at limit 1)) from waiting w
union all
select (select lease_until from delivery where state = 'delivering' order by lease_until limit 1)
union all
select (select give_up_at from delivery where state = 'pending' and give_up_at is not null order by give_up_at limit 1);

-- name: in_flight
select id from delivery where state = 'delivering' and target = $1;

-- name: in_flight_to
select count(*) from delivery where state = 'delivering' and target = $1;

-- name: lapsed
select :delivery_row: :delivery_from: where d.state = 'delivering' and d.lease_until <= $1 order by d.lease_until limit $2;

-- name: overdue
select :delivery_row: :delivery_from: where d.state = 'pending' and d.give_up_at is not null and d.give_up_at <= $1
  and replace($3, '/' || d.target || '/', '') = $3
order by d.give_up_at limit $2;

-- name: dead_letters
select :delivery_row:, :s.submission: :delivery_from: where d.state = 'dead'
  and (cast($1 as text) is null or d.target = $1) and (cast($2 as text) is null or d.leistung = $2)
  and (cast($3 as text) is null or d.authority = $3) and (cast($4 as text) is null or d.class = $4)
  and (cast($5 as blob) is null or d.cause = $5) and (cast($6 as moment) is null or d.changed_at < $6)
  and (cast($7 as moment) is null or (d.received_at, d.seq) > ($7, $8))
order by d.received_at, d.seq limit $9;

-- name: place_of_delivery
select received_at, seq from delivery where id = $1;

-- name: backlog
select target, state, count(*), cast(sum(in_doubt) as integer), min(received_at) from delivery where state = 'pending'
group by target, state
union all
select target, state, count(*), 0, min(received_at) from delivery where state = 'delivering' group by target, state
union all
select target, state, count(*), cast(sum(in_doubt) as integer), min(received_at) from delivery where state = 'dead'
group by target, state;

-- name: insert_step
insert into step (delivery, name, body, at) values ($1, $2, $3, $4)
on conflict (delivery, name) do update set body = excluded.body, at = excluded.at;

-- name: steps
select t.name, t.body, s.id, s.key_id, s.wrapped_key from step t join delivery d on d.seq = t.delivery
join submission s on s.seq = d.submission where d.id = $1 order by t.name;

-- name: place_of_step
select d.seq, s.id from delivery d join submission s on s.seq = d.submission where d.id = $1 and s.wrapped_key is not null;

-- name: not_final
select :delivery_row: :delivery_from: where d.seq > $1 and d.state in ('pending', 'delivering', 'dead')
order by d.seq limit $2;

-- name: put_in_doubt
update delivery set state = 'pending', revision = revision + 1, in_doubt = 1,
  waiting_for = case when waiting_for = 'confirmation' then 'confirmation' else 'lookup' end,
  next_attempt_at = coalesce(next_attempt_at, $2), lease_until = null, claimed_by = null, changed_at = $2
where seq = $1;

-- name: put_dead_in_doubt
update delivery set revision = revision + 1, in_doubt = 1, changed_at = $2 where seq = $1;

-- -------------------------------------------------------------------------------------------------------------- target

-- name: targets
select name, paused_reason, paused_at, paused_until, breaker, breaker_cause, breaker_since, probe_at, streak, streak_cause,
  revision from target order by name;

-- name: insert_target
insert into target (name, revision, paused_reason, paused_at, paused_until, breaker, breaker_cause, breaker_since, probe_at,
  streak, streak_cause)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (name) do nothing;

-- name: update_target
update target set revision = $3, paused_reason = $4, paused_at = $5, paused_until = $6, breaker = $7, breaker_cause = $8,
  breaker_since = $9, probe_at = $10, streak = $11, streak_cause = $12
where name = $1 and revision = $2;

-- name: clocks_running
select seq, give_up_at from delivery where state = 'pending' and target = $1 and give_up_at is not null;

-- name: set_clock
update delivery set give_up_at = $2, revision = revision + 1 where seq = $1;

-- name: rewrap_target
update target set paused_reason = $2, breaker_cause = $3 where name = $1;

-- ------------------------------------------------------------------------------------------------------------- history

-- name: insert_history
insert into history (no, at, actor, subject, submission, delivery, revision, event, from_state, to_state, attempt, outcome,
  code, facts, private_digest, entry_hash) values (…);

-- name: insert_private
insert into private (history, submission, body, key_id, wrapped_key) values (…);

-- name: history
select h.no, h.at, h.actor, h.subject, s.id, d.id, h.event, h.from_state, h.to_state, h.attempt, h.outcome, h.code, h.facts,
  c.sealed_no, p.body, coalesce(p.key_id, s.key_id), coalesce(p.wrapped_key, s.wrapped_key)
from history h left join submission s on s.seq = h.submission left join delivery d on d.seq = h.delivery
left join chain c on c.history = h.no left join private p on p.history = h.no
where h.no > $1 order by h.no limit $2;

-- name: latest
select h.no, h.at, h.actor, h.subject, s.id, d.id, h.event, h.from_state, h.to_state, h.attempt, h.outcome, h.code, h.facts,
  c.sealed_no, p.body, coalesce(p.key_id, s.key_id), coalesce(p.wrapped_key, s.wrapped_key)
from history h left join submission s on s.seq = h.submission left join delivery d on d.seq = h.delivery
left join chain c on c.history = h.no left join private p on p.history = h.no
order by h.no desc limit $1;

-- name: latest_of_submission
select h.no, h.at, h.actor, h.subject, s.id, d.id, h.event, h.from_state, h.to_state, h.attempt, h.outcome, h.code, h.facts,
  c.sealed_no, p.body, coalesce(p.key_id, s.key_id), coalesce(p.wrapped_key, s.wrapped_key)
from submission s join history h on h.submission = s.seq left join delivery d on d.seq = h.delivery
left join chain c on c.history = h.no left join private p on p.history = h.no
where s.id = $2 order by h.no + 0 desc limit $1;

-- name: history_of_submission
select h.no, h.at, h.actor, h.subject, s.id, d.id, h.event, h.from_state, h.to_state, h.attempt, h.outcome, h.code, h.facts,
  c.sealed_no, p.body, coalesce(p.key_id, s.key_id), coalesce(p.wrapped_key, s.wrapped_key)
from submission s join history h on h.submission = s.seq left join delivery d on d.seq = h.delivery
left join chain c on c.history = h.no left join private p on p.history = h.no
where s.id = $3 and h.no > $1 order by h.no + 0 limit $2;

-- name: since
select c.sealed_no, s.id, s.portal from chain c join history h on h.no = c.history
left join submission s on s.seq = h.submission
where c.sealed_no > $1 order by c.sealed_no limit $2;

-- ---------------------------------------------------------------------------------------------------------------- seal

-- name: turn_to_seal on sqlite
select 1;

-- name: turn_to_seal on postgres
-- One at a time, until its commit; nobody waits for it.
select 1 where pg_try_advisory_xact_lock({sealing});

-- name: last_line
-- Of the history, whether it is there or not.
select history from counter where one = 1;

-- name: remember_last_line
update counter set history = $1 where one = 1 and history < $1;

-- name: heads
-- Last line, last link, last signed head.
select (select coalesce(max(no), 0) from history), (select sealed_no from chain order by sealed_no desc limit 1),
  (select history from chain order by sealed_no desc limit 1), (select chain_hash from chain order by sealed_no desc limit 1),
  (select sealed_no from seal order by sealed_no desc limit 1), (select at from seal order by sealed_no desc limit 1);

-- name: unsealed
select no, entry_hash from history where no > $1 order by no limit $2;

-- name: insert_chain
insert into chain (sealed_no, history, chain_hash) values (…);

-- name: insert_seal
insert into seal (sealed_no, chain_hash, at, key_id, signature) values ($1, $2, $3, $4, $5) on conflict do nothing;

-- name: links
select h.no, h.at, h.actor, h.subject, s.id, d.id, h.revision, h.event, h.from_state, h.to_state, h.attempt, h.outcome,
  h.code, h.facts, h.private_digest, h.entry_hash, c.sealed_no, c.chain_hash, p.body, s.erased_at
from history h left join submission s on s.seq = h.submission left join delivery d on d.seq = h.delivery
left join chain c on c.history = h.no left join private p on p.history = h.no
where h.no > $1 order by h.no limit $2;

-- name: seals
select sealed_no, chain_hash, at, key_id, signature from seal order by sealed_no;

-- ------------------------------------------------------------------------------------------------------------- erasure

-- name: erasable
select s.id from submission s where s.erased_at is null and s.erase_after <= $1 and not exists (
  select 1 from delivery d where d.submission = s.seq and d.state in ('pending', 'delivering', 'dead'))
order by s.erase_after limit $2;

-- name: erase_submission
update submission set wrapped_key = null, erased_at = $2 where id = $1 and erased_at is null and erase_after <= $2
  and not exists (select 1 from delivery d where d.submission = submission.seq
    and d.state in ('pending', 'delivering', 'dead'))
returning seq;

-- name: erase_names
update document set name = null where submission = $1;

-- name: erase_texts
update delivery set cause_text = null, case_number = null, outcome = null where submission = $1;

-- name: erase_private
delete from private where submission = $1;

-- name: erase_steps
delete from step where delivery in (select seq from delivery where submission = $1);

-- ---------------------------------------------------------------------------------------------------------------- keys

-- name: keys_in_use
with recursive used (key_id) as (
  select min(key_id) from submission where wrapped_key is not null
  union all
  select (select min(s.key_id) from submission s where s.wrapped_key is not null and s.key_id > u.key_id)
  from used u where u.key_id is not null)
select u.key_id, (select count(*) from submission s where s.key_id = u.key_id and s.wrapped_key is not null)
from used u where u.key_id is not null;

-- name: private_keys_in_use
select distinct key_id from private where key_id is not null;

-- name: signing_keys
select distinct key_id from seal;

-- name: keys_to_rewrap
select seq, id, wrapped_key from submission where key_id = $1 and wrapped_key is not null order by seq limit $2 {not_locked};

-- name: rewrap_key
update submission set key_id = $2, wrapped_key = $3 where seq = $1 and wrapped_key is not null;

-- name: key_in_force
select key_id from counter where one = 1;

-- name: put_key_in_force
update counter set key_id = $1 where one = 1;

-- name: private_keys_to_rewrap
select p.history, p.key_id, p.wrapped_key, h.subject from private p join history h on h.no = p.history
where p.key_id <> $1 order by p.history;

-- name: rewrap_private_key
update private set key_id = $2, wrapped_key = $3 where history = $1;

-- --------------------------------------------------------------------------------------------------- credentials, tally

-- name: credentials
select id, holder, kind, hash, scope, created_at, expires_at, revoked_at, last_used_on from credential order by created_at, id;

-- name: credential
select id, holder, kind, hash, scope, created_at, expires_at, revoked_at, last_used_on from credential where id = $1;

-- name: put_credential
insert into credential (id, holder, kind, hash, scope, created_at, expires_at, revoked_at, last_used_on)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (id) do update set holder = excluded.holder, kind = excluded.kind, hash = excluded.hash, scope = excluded.scope,
  created_at = excluded.created_at, expires_at = excluded.expires_at,
  revoked_at = coalesce(credential.revoked_at, excluded.revoked_at),
  last_used_on = excluded.last_used_on;

-- name: count
insert into tally (day, authority, leistung, portal, outcome, within, n) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (day, authority, leistung, portal, outcome, within) do update set n = tally.n + excluded.n;

-- name: tallies
select day, authority, leistung, portal, outcome, within, n from tally where day >= $1 and day <= $2
order by day, authority, leistung, portal, outcome, within;
