-- What the proofs need beside the keys of data subjects. Run by every migration, as proteus_owner.

-- Who signs a workspace's checkpoints. The private half is forgotten when another key takes its place.
create table if not exists audit_key (
  workspace   uuid not null,
  public      bytea not null check (octet_length(public) = 32),
  private     bytea check (octet_length(private) = 32),
  made_at     timestamptz not null default clock_timestamp(),
  retired_at  timestamptz,
  primary key (workspace, public),
  check ((private is null) = (retired_at is not null))
);
create unique index if not exists audit_key_in_use on audit_key (workspace) where retired_at is null;

-- A commitment to each key stays when the key is deleted, so that no other can be shown in its place.
create or replace function commit_to_key() returns trigger language plpgsql as
$$
begin
  if octet_length(new.key) = 32 then -- of a wrapped one, who wraps it says
    new.commitment := sha256(convert_to(e'proteus key commitment v1\n', 'UTF8')
                             || uuid_send(new.workspace) || uuid_send(new.subject) || new.key);
  end if;
  return new;
end
$$;

do $$
begin
  if not exists (select from pg_attribute where attrelid = 'subject_key'::regclass and attname = 'commitment') then
    alter table subject_key add column commitment bytea;
    create trigger commit_to_key before insert or update on subject_key for each row execute function commit_to_key();
    alter table subject_key no force row level security;
    update subject_key set key = key;
    alter table subject_key force row level security;
  end if;
  if not (select relrowsecurity from pg_class where oid = 'audit_key'::regclass) then
    create policy own on audit_key for select to proteus_app, proteus_reader
      using (workspace = nullif(current_setting('proteus.workspace', true), '')::uuid);
    create policy follow on audit_key to proteus_projector, proteus_owner using (true);
    grant select (workspace, public, made_at, retired_at) on audit_key to proteus_app, proteus_reader;
    grant select, insert, update on audit_key to proteus_projector;
    alter table audit_key enable row level security;
    alter table audit_key force row level security;
  end if;
end $$;
