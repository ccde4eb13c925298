-- The keys of data subjects, in a schema of their own, which may lie in a database of its own.
-- A null key is an erased subject: what was sealed under it can never be opened, and nothing new is sealed under it.
create table subject_key (
  workspace  uuid not null,
  subject    uuid not null,
  key        bytea check (octet_length(key) in (32, 68)), -- 68: wrapped by the master key that its first 8 bytes name
  primary key (workspace, subject)
);
alter table subject_key enable row level security;
alter table subject_key force row level security;
create policy own on subject_key to proteus_app, proteus_reader
  using (workspace = nullif(current_setting('proteus.workspace', true), '')::uuid);
create policy arrive on subject_key for insert to proteus_owner
  with check (workspace = nullif(current_setting('proteus.workspace', true), '')::uuid);
create policy follow on subject_key for select to proteus_projector using (true);
create policy erase on subject_key for update to proteus_owner using (true);
create policy seen on subject_key for select to proteus_owner using (true);
grant select, insert on subject_key to proteus_app;
grant select on subject_key to proteus_projector, proteus_reader;

-- Master keys that took part. What a process wraps that has not heard of a rotation is refused.
create table master_key (
  id          bytea primary key check (octet_length(id) = 8),
  made_at     timestamptz not null default clock_timestamp(),
  retired_at  timestamptz
);
alter table master_key enable row level security;
alter table master_key force row level security;
create policy see on master_key for select to proteus_app, proteus_projector using (true);
create policy administer on master_key to proteus_owner using (true);
grant select on master_key to proteus_app, proteus_projector;

create function must_be_wrapped() returns trigger language plpgsql as
$$
declare
  used boolean := octet_length(new.key) = 68
                  and exists (select from master_key m where m.id = substr(new.key, 1, 8) and m.retired_at is null);
begin
  if new.key is not null and not used and exists (select from master_key m where m.retired_at is null) then
    raise exception 'keys here are wrapped by a master key, which PROTEUS_MASTER_KEY has to name' using errcode = 'PRMK1';
  end if;
  return new;
end
$$;
alter function must_be_wrapped() set search_path from current;
create trigger must_be_wrapped before insert or update on subject_key for each row execute function must_be_wrapped();

-- Who was erased, or is being: what was begun is finished by the same command. The hashes are those of the act of
-- destruction and of the journal's export.
create table erasure (
  workspace    uuid not null,
  subject      uuid not null,
  begun_at     timestamptz not null default clock_timestamp(),
  act          bytea not null,
  journal      bytea not null,
  finished_at  timestamptz,
  primary key (workspace, subject)
);
alter table erasure enable row level security;
alter table erasure force row level security;
create policy administer on erasure to proteus_owner using (true);
