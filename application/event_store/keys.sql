-- The keys of data subjects, in a schema of their own, so that it can live on a server of its own one day.
-- A null key is an erased subject: what was sealed under it can never be opened, and nothing new is sealed under it.
create table subject_key (
  workspace  uuid not null,
  subject    uuid not null,
  key        bytea check (octet_length(key) = 32),
  primary key (workspace, subject)
);
alter table subject_key enable row level security;
alter table subject_key force row level security;
create policy own on subject_key to proteus_app, proteus_reader
  using (workspace = nullif(current_setting('proteus.workspace', true), '')::uuid);
create policy arrive on subject_key for insert to proteus_owner
  with check (workspace = nullif(current_setting('proteus.workspace', true), '')::uuid);
create policy follow on subject_key for select to proteus_projector using (true);
grant select, insert on subject_key to proteus_app;
grant select on subject_key to proteus_projector, proteus_reader;
