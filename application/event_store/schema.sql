-- The event store of one shard: one Postgres schema. Run by `proteus migrate` as proteus_owner, search_path on the schema.

create table workspace (
  id          uuid primary key,
  key         text not null unique,
  name        text not null,
  shard_dsn   text,          -- null: this server
  shard       text not null, -- the Postgres schema that holds its events and read models
  created_at  timestamptz not null default clock_timestamp(),
  arriving    boolean not null default false -- it is being moved here, and nobody is let in yet
);

create table token (
  id          uuid primary key,
  workspace   uuid not null references workspace,
  person      uuid not null,
  name        text not null,
  hash        bytea not null unique, -- SHA-256 of a random token: enough, since a token has 256 bits of entropy
  scopes      text[] not null,
  created_at  timestamptz not null default clock_timestamp(),
  expires_at  timestamptz not null,
  revoked_at  timestamptz
);

alter table token alter name set statistics 0; -- which would outlive an erasure

create table event (
  position        bigint generated always as identity (cache 1),
  workspace       uuid not null,
  stream          uuid not null,
  version         integer not null check (version > 0),
  name            text not null,
  event_version   smallint not null,
  state           bytea not null,       -- UTF-8 JSON, exactly as written; free text in it is sealed
  occurred_at     timestamptz not null, -- when it happened
  recorded_at     timestamptz not null default clock_timestamp(), -- when it was written; no role may set it
  actor           uuid not null,
  on_behalf_of    uuid,
  channel         text not null,
  source          text,
  reason          text,                 -- sealed
  command_id      uuid not null,
  command_hash    bytea,                -- on a command's first event: keyed hash of actor and input
  correlation_id  uuid not null,
  causation_id    uuid,
  trace           text,
  primary key (position, workspace),
  constraint event_stream_version unique (stream, version)
);
create unique index event_command on event (workspace, command_id) where command_hash is not null;

-- Commands that changed nothing leave their id here, so that a repeat is known.
create table command (
  workspace     uuid not null,
  command_id    uuid not null,
  command_hash  bytea not null,
  stream        uuid not null,
  version       integer not null,
  position      bigint not null,
  primary key (workspace, command_id)
);

-- Rules that span streams: an append names the version that its decision has seen.
create table guard (
  workspace  uuid not null,
  name       text not null,
  version    bigint not null,
  primary key (workspace, name)
);

create table ticket_number (
  workspace  uuid primary key,
  last       bigint not null
);

-- Who read which ticket, where that is logged: beside the log, for a bounded time. Who reads it often within a minute is
-- there once.
create table read_access (
  number     bigint generated always as identity primary key,
  workspace  uuid not null,
  at         timestamptz not null default clock_timestamp(),
  person     uuid not null,
  ticket     uuid not null,
  way        text not null
);
create index read_access_ticket on read_access (workspace, ticket, person, number);
create index read_access_at on read_access using brin (at);

-- Where each follower of the log stands. The epoch fences off a leader that was paused and replaced.
create table tracking (
  name         text primary key,
  position     bigint not null default 0,
  epoch        bigint not null default 0,
  recorded_at  timestamptz not null default '0001-01-01T00:00:00Z', -- running maximum over all events passed
  updated_at   timestamptz not null default clock_timestamp(),
  shape        text -- of a read model: by which description its tables were made
);

-- The history as a person with psql reads it.
create view history with (security_invoker = true) as
  select position, workspace, stream, version, name, event_version, convert_from(state, 'UTF8')::json as state,
         occurred_at, recorded_at, actor, on_behalf_of, channel, source, reason, command_id, correlation_id, causation_id
    from event;

create function current_workspace() returns uuid language sql stable parallel safe as
$$ select nullif(current_setting('proteus.workspace', true), '')::uuid $$;

do $$
declare t text;
begin
  foreach t in array array['event', 'command', 'guard', 'ticket_number', 'read_access'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy own on %I to proteus_app, proteus_reader using (workspace = current_workspace())', t);
  end loop;
  execute 'create policy follow on event for select to proteus_projector, proteus_owner using (true)';
  foreach t in array array['workspace', 'token', 'tracking'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy administer on %I to proteus_owner using (true)', t);
  end loop;
end $$;
-- A workspace that moves here brings its positions and times of recording; nobody else sets them, and no other time.
do $$
declare t text;
begin
  foreach t in array array['event', 'command', 'guard', 'ticket_number'] loop
    execute format('create policy arrive on %I for insert to proteus_owner with check (workspace = current_workspace()'
                   ' and (select w.arriving from workspace w where w.id = current_workspace()))', t);
  end loop;
end $$;
create policy forget on read_access to proteus_owner using (true);
create policy own on workspace for select to proteus_app, proteus_reader using (id = current_workspace());
create policy own on token for select to proteus_app using (workspace = current_workspace());
create policy follow on tracking to proteus_projector using (true);
create policy see on tracking for select to proteus_reader, proteus_app using (true);

grant select on event to proteus_app, proteus_reader, proteus_projector;
grant insert (workspace, stream, version, name, event_version, state, occurred_at, actor, on_behalf_of, channel, source,
              reason, command_id, command_hash, correlation_id, causation_id, trace) on event to proteus_app;
grant select on history to proteus_app, proteus_reader;
grant select, insert on command to proteus_app;
grant select on read_access to proteus_app, proteus_reader;
grant insert (workspace, person, ticket, way) on read_access to proteus_app;
grant select, insert, update on guard, ticket_number to proteus_app;
grant select, insert, update on tracking to proteus_projector;
grant select on tracking to proteus_reader, proteus_app;
grant select on workspace to proteus_app, proteus_reader;

-- A token is looked up before its workspace is known: the one read that crosses workspaces, and it needs the token.
create function authenticate(token_hash bytea)
  returns table (workspace uuid, person uuid, scopes text[], token uuid, expires_at timestamptz, revoked_at timestamptz)
  language sql stable security definer as
$$ select t.workspace, t.person, t.scopes, t.id, t.expires_at, t.revoked_at from token t where t.hash = token_hash $$;
alter function authenticate(bytea) set search_path from current;
revoke execute on function authenticate(bytea) from public;
grant execute on function authenticate(bytea) to proteus_app, proteus_reader;

-- Who left is let in no more: in the transaction that records it, so that there is no moment between. Tokens made after
-- a return stay, whatever is copied or restored.
create function revoke_tokens() returns trigger language plpgsql security definer as
$$
begin
  update token set revoked_at = clock_timestamp()
   where workspace = new.workspace and person = new.stream and revoked_at is null and created_at <= new.recorded_at;
  return null;
end
$$;
alter function revoke_tokens() set search_path from current;
revoke execute on function revoke_tokens() from public;
create trigger person_left after insert on event for each row
  when (new.name in ('PersonDeactivated', 'SubjectErased')) execute function revoke_tokens();

create type new_event as (
  n integer, first boolean, stream uuid, version integer, name text, event_version smallint, state text,
  occurred_at timestamptz, actor uuid, on_behalf_of uuid, channel text, source text, reason text,
  command_id uuid, command_hash text, correlation_id uuid, causation_id uuid, trace text,
  seen uuid[], seen_versions integer[]
);

-- Group append: commands that wait at the same time share one transaction, each answered for itself.
-- batch: [{"workspace": uuid, "events": [new_event, …]}, …]; n numbers the commands, at most one per stream and per
-- command id. A command whose number is not returned lost: its version or its command id was taken, or one of the
-- streams that its decision has seen has grown. occurred_at: the earliest of its events, as recorded.
-- Positions come from the identity column, so only after INSERT holds its lock on the table: the readers' fence.
-- The checks are scalar subqueries on purpose: as EXISTS they may be planned as a hash over the whole table while that is
-- young, in a plan that the session keeps.
create function append(batch json)
  returns table (n integer, version integer, "position" bigint, occurred_at timestamptz)
  language plpgsql as
$$
declare
  part json;
  target uuid;
begin
  for part in select json_array_elements(batch) loop
    target := (part ->> 'workspace')::uuid;
    perform set_config('proteus.workspace', target::text, true);
    return query
    with input as materialized (
      select * from json_populate_recordset(null::new_event, part -> 'events')
    ), first as (
      insert into event as e (workspace, stream, version, name, event_version, state, occurred_at, actor, on_behalf_of,
        channel, source, reason, command_id, command_hash, correlation_id, causation_id, trace)
      select target, i.stream, i.version, i.name, i.event_version, convert_to(i.state, 'UTF8'),
             least(i.occurred_at, clock_timestamp()), i.actor, i.on_behalf_of, i.channel, i.source, i.reason,
             i.command_id, decode(i.command_hash, 'hex'), i.correlation_id, i.causation_id, i.trace
        from input i
       where i.first
         and (i.version = 1
              or (select true from event b where b.stream = i.stream and b.version = i.version - 1))
         and (select true from command c where c.workspace = target and c.command_id = i.command_id) is null
         and (i.seen is null or (
               select true from unnest(i.seen, i.seen_versions) as s(stream, version)
                where (select true from event b where b.stream = s.stream and b.version = s.version + 1)
                limit 1) is null)
       order by i.n
      on conflict do nothing
      returning e.command_id, e.version, e.position, e.occurred_at
    ), rest as (
      insert into event as e (workspace, stream, version, name, event_version, state, occurred_at, actor, on_behalf_of,
        channel, source, reason, command_id, correlation_id, causation_id, trace)
      select target, i.stream, i.version, i.name, i.event_version, convert_to(i.state, 'UTF8'),
             least(i.occurred_at, clock_timestamp()), i.actor, i.on_behalf_of, i.channel, i.source, i.reason,
             i.command_id, i.correlation_id, i.causation_id, i.trace
        from input i
       where not i.first and i.command_id in (select f.command_id from first f)
       order by i.n, i.version
      returning e.command_id, e.version, e.position, e.occurred_at
    )
    select i.n, max(w.version), max(w.position), min(w.occurred_at)
      from (select * from first union all select * from rest) w
      join input i on i.command_id = w.command_id and i.first
     group by i.n;
  end loop;
end
$$;

-- All or nothing, over several streams, commands and guards. Conflicts surface as the violated constraint's name,
-- a guard that moved as serialization_failure. Returns the positions in the order of the events.
create function append_together(target uuid, events json, guards json, unchanged json)
  returns table (stream uuid, version integer, "position" bigint)
  language plpgsql as
$$
declare
  held record;
begin
  perform set_config('proteus.workspace', target::text, true);
  for held in select * from json_to_recordset(guards) as g(name text, version bigint) order by g.name loop
    insert into guard as g (workspace, name, version) values (target, held.name, held.version + 1)
      on conflict (workspace, name) do update set version = g.version + 1 where g.version = held.version;
    if not found then
      raise serialization_failure using message = 'guard ' || held.name || ' has moved';
    end if;
  end loop;
  insert into command (workspace, command_id, command_hash, stream, version, position)
    select target, u.command_id, decode(u.command_hash, 'hex'), u.stream, u.version, u.position
      from json_to_recordset(unchanged)
        as u(command_id uuid, command_hash text, stream uuid, version integer, position bigint);
  return query
  insert into event as e (workspace, stream, version, name, event_version, state, occurred_at, actor, on_behalf_of,
    channel, source, reason, command_id, command_hash, correlation_id, causation_id, trace)
  select target, i.stream, i.version, i.name, i.event_version, convert_to(i.state, 'UTF8'),
         least(i.occurred_at, clock_timestamp()), i.actor, i.on_behalf_of, i.channel, i.source, i.reason,
         i.command_id, decode(i.command_hash, 'hex'), i.correlation_id, i.causation_id, i.trace
    from json_populate_recordset(null::new_event, events) i
   order by i.n
  returning e.stream, e.version, e.position;
end
$$;

-- What a command with this id left behind, if it was recorded.
create function earlier(target uuid, commands uuid[])
  returns table (command_id uuid, command_hash bytea, stream uuid, version integer, "position" bigint)
  language plpgsql set enable_seqscan = off as
$$
begin
  perform set_config('proteus.workspace', target::text, true);
  return query
  select f.command_id, f.command_hash, f.stream, l.version, l.position
    from unnest(commands) as w(id)
    cross join lateral (
      select e.command_id, e.command_hash, e.stream, e.version from event e
       where e.workspace = target and e.command_id = w.id and e.command_hash is not null) f
    cross join lateral (
      select e.version, e.position from event e
       where e.stream = f.stream and e.version >= f.version and e.command_id = f.command_id
       order by e.version desc limit 1) l
  union all
  select c.command_id, c.command_hash, c.stream, c.version, c.position
    from command c where c.workspace = target and c.command_id = any(commands);
end
$$;

-- The events of several streams, each after a version that the caller has already folded.
-- Lateral, so that each stream is found by its index whatever the statistics say: a plan that a session made while the
-- table was young, and keeps, would otherwise read the whole workspace every time (500 streams, 120,000 events: 2 s
-- instead of 2 ms).
create function load(target uuid, streams uuid[], after integer[]) returns setof event
  language plpgsql set enable_seqscan = off as
$$
begin
  perform set_config('proteus.workspace', target::text, true);
  return query
  select e.* from unnest(streams, after) as w(stream, version)
   cross join lateral (
     select * from event f where f.stream = w.stream and f.version > w.version and f.workspace = target
      order by f.version) e
   order by e.stream, e.version;
end
$$;

create function draw_numbers(target uuid, wanted integer) returns bigint
  language plpgsql as
$$
declare
  drawn bigint;
begin
  perform set_config('proteus.workspace', target::text, true);
  insert into ticket_number as t (workspace, last) values (target, wanted)
    on conflict (workspace) do update set last = t.last + wanted
    returning last into drawn;
  return drawn;
end
$$;

-- The real head of the log, over all workspaces: a number only.
create function log_head() returns bigint language sql stable security definer as
$$ select coalesce(max(position), 0) from event $$;
alter function log_head() set search_path from current;
revoke execute on function log_head() from public;
grant execute on function log_head() to proteus_app, proteus_reader, proteus_projector;

-- How far each follower is behind the real head of the log, over all workspaces: numbers only.
create function follower_status()
  returns table (name text, "position" bigint, head bigint, lag_events bigint, lag_seconds double precision,
                 rebuilding boolean)
  language sql stable security definer as
$$
  select t.name, t.position, coalesce((select max(e.position) from event e), 0),
         (select count(*) from (select 1 from event e where e.position > t.position limit 1000000) ahead),
         coalesce(extract(epoch from clock_timestamp() - (
           select e.recorded_at from event e where e.position > t.position order by e.position limit 1)), 0),
         -- Whoever rebuilds holds this lock as long as they live; the shadow tables of one who was killed stay.
         exists (select from pg_locks l
                  where l.granted and l.locktype = 'advisory' and l.objsubid = 1
                    and l.database = (select d.oid from pg_database d where d.datname = current_database())
                    and (l.classid::bigint << 32 | l.objid::bigint)
                        = hashtextextended(current_schema() || '_rebuild_' || t.name, 0))
    from tracking t order by t.name
$$;
alter function follower_status() set search_path from current;
revoke execute on function follower_status() from public;
grant execute on function follower_status() to proteus_app, proteus_reader, proteus_projector;
