-- Administration over the API: tenants, users and keys, each act with its entry in the audit log, in one transaction.
--
-- The acts are functions here rather than statements of the application, for three reasons: who asks is looked up again
-- under the lock that makes acts of one tenant go one after the other, so that a demotion and an act of the demoted cannot
-- pass each other; roles, scopes and the entry cannot be written around by whoever has the application's connection; and
-- there is no act without an entry, nor an entry without an act.

SET LOCAL ROLE kg_owner;

-- An append-only table: nobody updates or deletes, and nothing is ever trimmed. Without foreign keys, since entries outlive
-- what they tell of. No texts of users, names or addresses of mail: ids, roles, scopes and figures.
CREATE TABLE IF NOT EXISTS kg.audit_log (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id    uuid NOT NULL,
  at           timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- `user`: a person's credential, `key`: a key that is nobody's, `platform`: the operator, `database`: whoever wrote to
  -- the tables beside the API.
  actor_kind   text NOT NULL CONSTRAINT valid_actor CHECK (actor_kind IN ('user', 'key', 'platform', 'database')),
  actor_user   uuid,
  actor_key    uuid,
  actor_prefix text,
  actor_name   text,  -- of `database`: the role that logged in
  action       text NOT NULL CONSTRAINT valid_action CHECK (action ~ '^[a-z_]+(\.[a-z_]+)?$'),
  object_type  text NOT NULL CONSTRAINT valid_object CHECK (object_type IN ('tenant', 'user', 'api_key', 'action')),
  object_id    uuid,
  also         uuid[] NOT NULL DEFAULT '{}',  -- what else the act changed
  outcome      text NOT NULL DEFAULT 'done',
  details      jsonb NOT NULL DEFAULT '{}' CONSTRAINT small_details CHECK (octet_length(details::text) <= 4096),
  request_id   text,
  address      text,  -- where the request came from, as the server saw it
  xact         xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX IF NOT EXISTS idx_audit_tenant ON kg.audit_log (tenant_id, id DESC);
CREATE INDEX IF NOT EXISTS idx_audit_object ON kg.audit_log (tenant_id, object_id, id DESC) WHERE object_id IS NOT NULL;
-- What an act changed besides: few entries, also of a transaction that changes thousands of rows.
CREATE INDEX IF NOT EXISTS idx_audit_also ON kg.audit_log (tenant_id, xact) WHERE also <> '{}';

ALTER TABLE kg.audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.audit_log FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS audit_log_tenant_isolation ON kg.audit_log;
CREATE POLICY audit_log_tenant_isolation ON kg.audit_log FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

-- Entries are written by the functions below alone, so that none can be made up. kg_admin gets all of every new table.
REVOKE INSERT, UPDATE, DELETE ON kg.audit_log FROM kg_admin;
GRANT SELECT (id, tenant_id, at, actor_kind, actor_user, actor_key, actor_prefix, actor_name, action, object_type,
              object_id, also, outcome, details, request_id, address) ON kg.audit_log TO kg_app;
GRANT SELECT ON kg.audit_log TO kg_admin;

-- Grants can be given back; this holds for superusers too.
CREATE OR REPLACE FUNCTION kg.refuse_audit_change() RETURNS trigger
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only: % is not possible', TG_OP USING ERRCODE = '42501';
END $$;
DROP TRIGGER IF EXISTS audit_log_append_only ON kg.audit_log;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kg.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION kg.refuse_audit_change();

-- Live rows only, as with slugs: who was removed can be invited again.
DROP INDEX IF EXISTS kg.unique_email_per_tenant;
CREATE UNIQUE INDEX IF NOT EXISTS unique_live_email_per_tenant ON kg.users (tenant_id, lower(email))
  WHERE deleted_at IS NULL;

CREATE OR REPLACE FUNCTION kg.role_rank(p_role text) RETURNS integer
  LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, kg AS $$
  SELECT array_position('{readonly,member,admin,owner}'::text[], p_role)
$$;

-- What a person of that role may do with any credential (as kg.resolve_api_key has it).
CREATE OR REPLACE FUNCTION kg.role_scopes(p_role text) RETURNS text[]
  LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, kg AS $$
  SELECT CASE p_role WHEN 'readonly' THEN '{read}' WHEN 'member' THEN '{read,write}'
                     WHEN 'admin' THEN '{read,write,admin,billing}' WHEN 'owner' THEN '{read,write,admin,billing}'
                     ELSE '{}' END::text[]
$$;
GRANT EXECUTE ON FUNCTION kg.role_rank(text), kg.role_scopes(text) TO kg_definer;

-- Who acts. `refusal` says why not: unauthorized (the credential is dead), forbidden (it lacks the scope).
DO $type$
BEGIN
  IF to_regtype('kg.actor') IS NULL THEN
    CREATE TYPE kg.actor AS (
      tenant_id uuid, kind text, user_id uuid, key_id uuid, key_prefix text, role text, scopes text[], request_id text,
      address text, refusal text);
  END IF;
END $type$;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT ON kg.audit_log TO kg_definer;
GRANT INSERT, UPDATE ON kg.api_keys TO kg_definer;
GRANT DELETE ON kg.users TO kg_definer;

SET LOCAL ROLE kg_definer;

-- The entry goes first and its act second: that is how the trigger below knows that there is one.
CREATE OR REPLACE FUNCTION kg.audit(
    p_who kg.actor, p_action text, p_type text, p_object uuid, p_also uuid[], p_details jsonb) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  INSERT INTO kg.audit_log (tenant_id, actor_kind, actor_user, actor_key, actor_prefix, action, object_type, object_id,
                            also, details, request_id, address)
  VALUES ((p_who).tenant_id, (p_who).kind, (p_who).user_id, (p_who).key_id, (p_who).key_prefix, p_action, p_type,
          p_object, coalesce(p_also, '{}'), coalesce(p_details, '{}'), left((p_who).request_id, 128),
          left((p_who).address, 64))
$$;

-- What is changed with no entry of its own in this transaction gets one here: by operators, provisioning, Stripe's events,
-- signing in. Nothing that matters changes unseen, whoever writes it.
CREATE OR REPLACE FUNCTION kg.audit_change() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_row jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
  v_id uuid := v_row ->> 'id';
  v_type text := CASE TG_TABLE_NAME WHEN 'tenants' THEN 'tenant' WHEN 'users' THEN 'user' ELSE 'api_key' END;
  v_tenant uuid := CASE TG_TABLE_NAME WHEN 'tenants' THEN v_id ELSE (v_row ->> 'tenant_id')::uuid END;
  v_unseen text[] := '{updated_at,last_used_at,use_count,last_login_at,key_hash,tokens_used_month,usage_period,billing_event_at,payment_event_at,authority_changed_at}';
  v_shown text[] := '{role,is_active,scopes,subscription_tier,subscription_status,tokens_limit_month,rate_limit_rpm,rate_limit_custom,data_plane}';
  v_details jsonb := '{}';
  v_changed text[];
BEGIN
  -- A silo (migration 35) only mirrors who is who: it was told of where it happened.
  IF EXISTS (SELECT FROM kg.silo)
     OR EXISTS (SELECT FROM kg.audit_log a
                 WHERE a.tenant_id = v_tenant AND a.object_id = v_id AND a.xact = pg_current_xact_id())
     OR EXISTS (SELECT FROM kg.audit_log a
                 WHERE a.tenant_id = v_tenant AND a.also <> '{}' AND a.xact = pg_current_xact_id()
                   AND v_id = ANY (a.also)) THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    SELECT coalesce(array_agg(n.key ORDER BY n.key), '{}') INTO v_changed
      FROM jsonb_each(v_row) n
     WHERE n.value IS DISTINCT FROM to_jsonb(OLD) -> n.key AND n.key <> ALL (v_unseen);
    IF v_changed = '{}' THEN
      RETURN NULL;
    END IF;
    SELECT jsonb_object_agg(c, CASE WHEN c = ANY (v_shown)
                                    THEN jsonb_build_object('from', to_jsonb(OLD) -> c, 'to', v_row -> c)
                                    ELSE to_jsonb('changed'::text) END)
      INTO v_details FROM unnest(v_changed) c;
  END IF;
  INSERT INTO kg.audit_log (tenant_id, actor_kind, actor_name, action, object_type, object_id, details)
  VALUES (v_tenant, 'database', session_user,
          v_type || CASE TG_OP WHEN 'INSERT' THEN '.create' WHEN 'UPDATE' THEN '.update' ELSE '.delete' END,
          v_type, v_id, v_details);
  RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION kg.audit_change() TO kg_owner;

SET LOCAL ROLE kg_owner;

-- Only for what matters: the counters of use are written all the time.
DROP TRIGGER IF EXISTS tenants_audit ON kg.tenants;
CREATE TRIGGER tenants_audit AFTER INSERT OR DELETE OR UPDATE OF
    name, slug, stripe_customer_id, subscription_tier, subscription_status, tokens_limit_month, rate_limit_rpm, settings,
    deleted_at, rate_limit_custom, rate_limit_rph, rate_burst, requests_per_day, data_plane, silo_dsn_ref
  ON kg.tenants FOR EACH ROW EXECUTE FUNCTION kg.audit_change();
DROP TRIGGER IF EXISTS users_audit ON kg.users;
CREATE TRIGGER users_audit AFTER INSERT OR DELETE OR UPDATE OF
    email, name, external_auth_id, external_auth_provider, role, is_active, email_verified, deleted_at
  ON kg.users FOR EACH ROW EXECUTE FUNCTION kg.audit_change();
DROP TRIGGER IF EXISTS api_keys_audit ON kg.api_keys;
CREATE TRIGGER api_keys_audit AFTER INSERT OR DELETE OR UPDATE OF
    user_id, user_ref, key_prefix, key_hash, name, scopes, rate_limit_rpm, tokens_limit_request, tier_override,
    requests_per_day, tokens_limit_month, expires_at, is_active, revoked_at
  ON kg.api_keys FOR EACH ROW EXECUTE FUNCTION kg.audit_change();

-- The application's own statements may make ordinary keys and take rights away, never give any: what gives rights is in
-- the functions, which know who asks. Triggers, because a grant of a column cannot tell up from down.
CREATE OR REPLACE FUNCTION kg.check_app_key() RETURNS trigger
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NOT NEW.scopes <@ '{read,write}'::text[] OR NEW.tier_override IS NOT NULL OR NEW.rate_limit_rpm IS NOT NULL
       OR NEW.requests_per_day IS NOT NULL OR NEW.tokens_limit_month IS NOT NULL THEN
      RAISE EXCEPTION 'keys with more than read and write, or with limits of their own, are made by kg.create_api_key'
        USING ERRCODE = '42501';
    END IF;
  ELSIF NOT NEW.scopes <@ OLD.scopes
     OR (NEW.is_active AND NOT OLD.is_active) OR (NEW.revoked_at IS NULL AND OLD.revoked_at IS NOT NULL)
     OR coalesce(NEW.expires_at, 'infinity') > coalesce(OLD.expires_at, 'infinity')
     OR NEW.rate_limit_rpm IS DISTINCT FROM OLD.rate_limit_rpm
     OR NEW.tokens_limit_request IS DISTINCT FROM OLD.tokens_limit_request THEN
    RAISE EXCEPTION 'a key''s rights are not widened by writing to its row' USING ERRCODE = '42501';
  END IF;
  RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS api_keys_check_app ON kg.api_keys;
CREATE TRIGGER api_keys_check_app BEFORE INSERT OR UPDATE ON kg.api_keys
  FOR EACH ROW WHEN (current_user = 'kg_app') EXECUTE FUNCTION kg.check_app_key();

CREATE OR REPLACE FUNCTION kg.check_app_user() RETURNS trigger
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW.role NOT IN ('member', 'readonly') THEN
    RAISE EXCEPTION 'a user of the role % is made by kg.create_user', NEW.role USING ERRCODE = '42501';
  ELSIF TG_OP = 'UPDATE' AND (
      (OLD.role = 'owner' AND (NEW.deleted_at IS NOT NULL OR NEW.is_active < OLD.is_active))
      OR (NEW.deleted_at IS NULL AND OLD.deleted_at IS NOT NULL)) THEN
    RAISE EXCEPTION 'owners are removed, and nobody is brought back, by the functions alone' USING ERRCODE = '42501';
  END IF;
  RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS users_check_app ON kg.users;
CREATE TRIGGER users_check_app BEFORE INSERT OR UPDATE ON kg.users
  FOR EACH ROW WHEN (current_user = 'kg_app') EXECUTE FUNCTION kg.check_app_user();

SET LOCAL ROLE kg_definer;

-- Who asks, from the credential's key in the tenant of the context: {key, scopes, request_id, address}. What the caller
-- says of its scopes can only narrow them: the key and its person's role are read again here, under the lock that makes the
-- acts of a tenant go one after the other (the order of locks: tenants, then the rest).
CREATE OR REPLACE FUNCTION kg.acting(p_who jsonb, p_scope text) RETURNS kg.actor
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor;
  v_key record;
BEGIN
  a.tenant_id := kg.current_tenant_id();
  IF a.tenant_id IS NULL THEN
    RAISE EXCEPTION 'an act of administration belongs to a tenant, and there is no tenant context' USING ERRCODE = '42501';
  END IF;
  a.request_id := p_who ->> 'request_id';
  a.address := p_who ->> 'address';
  PERFORM FROM kg.tenants t WHERE t.id = a.tenant_id AND t.deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    a.refusal := 'unauthorized';
    RETURN a;
  END IF;
  SELECT k.id, k.user_id, k.key_prefix, k.scopes, u.role, k.kind INTO v_key
    FROM kg.api_keys k
    LEFT JOIN kg.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
   WHERE k.id = (p_who ->> 'key')::uuid AND k.tenant_id = a.tenant_id AND k.is_active AND k.revoked_at IS NULL
     AND (k.expires_at IS NULL OR now() <= k.expires_at)
     AND (k.user_id IS NULL OR (u.is_active AND u.deleted_at IS NULL));
  IF NOT FOUND THEN
    a.refusal := 'unauthorized';
    RETURN a;
  END IF;
  a.kind := CASE WHEN v_key.user_id IS NULL THEN 'key' ELSE 'user' END;
  a.user_id := v_key.user_id;
  a.key_id := v_key.id;
  a.key_prefix := v_key.key_prefix;
  -- A key that is nobody's counts as an admin's: it manages users, and owners are above it.
  a.role := coalesce(v_key.role, 'admin');
  -- A person who signed in has the scopes of the role, as far as the token goes.
  a.scopes := ARRAY(SELECT s FROM jsonb_array_elements_text(p_who -> 'scopes') s
                     WHERE s = ANY (kg.role_scopes(a.role)) AND (v_key.kind = 'sign_in' OR s = ANY (v_key.scopes)));
  IF NOT p_scope = ANY (a.scopes) THEN
    a.refusal := 'forbidden';
  END IF;
  RETURN a;
END $$;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
