-- The transparency log of each workspace; see application/audit. Run by every migration, as proteus_owner: what is
-- missing is made. Rows of leaves and nodes are inserted and never changed.

create table if not exists audit_log (
  workspace  uuid primary key,
  size       bigint not null default 0,   -- leaves
  position   bigint not null default 0,   -- of the last one's event
  live       boolean not null default true -- false: a workspace that has moved here, whose events stand behind
);

create table if not exists audit_leaf (
  workspace  uuid not null,
  index      bigint not null,
  position   bigint not null,
  leaf       bytea not null, -- what the log says of the event: RFC 8785 JSON
  hash       bytea not null,
  primary key (workspace, index),
  unique (workspace, position)
);

-- The root of 256 ^ level leaves, at each level above the leaves: with their hashes, the tiles of C2SP tlog-tiles.
create table if not exists audit_node (
  workspace  uuid not null,
  level      smallint not null,
  index      bigint not null,
  hash       bytea not null,
  primary key (workspace, level, index)
);

create table if not exists audit_checkpoint (
  workspace  uuid not null,
  size       bigint not null,
  root       bytea not null,
  note       text not null, -- C2SP tlog-checkpoint
  at         timestamptz not null default clock_timestamp(),
  primary key (workspace, size)
);

create table if not exists audit_scrub (
  workspace  uuid not null,
  at         timestamptz not null default clock_timestamp(),
  size       bigint not null, -- leaves that were recomputed
  index      bigint,          -- of the first that differs
  position   bigint,
  finding    text,            -- null: nothing differs
  primary key (workspace, at)
);

-- Hashes of each of several stretches of the kept tree, one after another: `level`, from `first` to before `past`.
create or replace function audit_hashes(target uuid, levels integer[], firsts bigint[], pasts bigint[])
  returns table (level integer, first bigint, past bigint, hashes bytea)
  language sql stable as
$$
  select r.level, r.first, r.past,
         case when r.level = 0 then (
           select string_agg(l.hash, ''::bytea order by l.index) from audit_leaf l
            where l.workspace = target and l.index >= r.first and l.index < r.past)
         else (
           select string_agg(n.hash, ''::bytea order by n.index) from audit_node n
            where n.workspace = target and n.level = r.level and n.index >= r.first and n.index < r.past) end
    from unnest(levels, firsts, pasts) r (level, first, past)
$$;

do $$
declare t text;
begin
  foreach t in array array['audit_log', 'audit_leaf', 'audit_node', 'audit_checkpoint', 'audit_scrub'] loop
    continue when (select c.relrowsecurity from pg_class c where c.oid = t::regclass);
    execute format('create policy own on %I for select to proteus_app, proteus_reader'
                   ' using (workspace = current_workspace())', t);
    execute format('create policy follow on %I to proteus_projector, proteus_owner using (true)', t);
    execute format('grant select on %I to proteus_app, proteus_reader', t);
    execute format('grant select, insert, update on %I to proteus_projector', t);
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
  end loop;
  if not exists (select from pg_policy where polrelid = 'workspace'::regclass and polname = 'follow') then
    create policy follow on workspace for select to proteus_projector using (true);
    grant select (id, key, arriving) on workspace to proteus_projector;
  end if;
end $$;

-- Over all workspaces, numbers only: how far the sequencer is behind, logs whose last scrub found something, and how old
-- the oldest last scrub is (0: there is a log that was never scrubbed).
create or replace function audit_status()
  returns table (lag_events bigint, lag_seconds double precision, tampered bigint, scrubbed_at timestamptz)
  language sql stable security definer as
$$
  with last as (
    select l.workspace, s.at, s.finding from audit_log l
      left join lateral (
        select s.at, s.finding from audit_scrub s where s.workspace = l.workspace order by s.at desc limit 1) s on true
  )
  select f.lag_events, f.lag_seconds, (select count(*) from last where finding is not null),
         (select min(coalesce(at, to_timestamp(0))) from last)
    from follower_status() f where f.name = 'audit'
$$;
alter function audit_status() set search_path from current;
revoke execute on function audit_status() from public;
grant execute on function audit_status() to proteus_reader;

insert into tracking (name) values ('audit') on conflict do nothing;
