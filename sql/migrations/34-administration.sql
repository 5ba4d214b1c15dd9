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
CREATE INDEX IF NOT EXISTS idx_audit_xact ON kg.audit_log (tenant_id, xact);

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
     OR EXISTS (SELECT FROM kg.audit_log a WHERE a.tenant_id = v_tenant AND a.xact = pg_current_xact_id()
                AND (a.object_id = v_id OR v_id = ANY (a.also))) THEN
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

-- The acts below return a word, and behind a blank what the answer has to name: done, or why not.

-- p_id is the new user's. A tier has a greatest number of members, 0 for none.
CREATE OR REPLACE FUNCTION kg.create_user(p_who jsonb, p_id uuid, p_email text, p_name text, p_role text) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor := kg.acting(p_who, 'admin');
  v_most integer;
  v_former uuid[];
BEGIN
  IF a.refusal IS NOT NULL THEN
    RETURN a.refusal;
  ELSIF p_role = 'owner' THEN
    RETURN 'owner_by_transfer';
  ELSIF kg.role_rank(p_role) > kg.role_rank(a.role) THEN
    RETURN 'exceeds_role ' || p_role;
  ELSIF EXISTS (SELECT FROM kg.users u WHERE u.tenant_id = a.tenant_id AND lower(u.email) = lower(p_email)
                   AND u.deleted_at IS NULL) THEN
    RETURN 'duplicate';
  END IF;
  SELECT l.max_members INTO v_most FROM kg.tenants t JOIN kg.tier_limits l ON l.tier = t.subscription_tier
   WHERE t.id = a.tenant_id;
  IF v_most > 0 AND (SELECT count(*) FROM kg.users u WHERE u.tenant_id = a.tenant_id AND u.deleted_at IS NULL) >= v_most THEN
    RETURN 'max_members ' || v_most;
  END IF;
  -- Who was removed and is invited again signs in as the new user, not as the removed one.
  v_former := ARRAY(SELECT u.id FROM kg.users u WHERE u.tenant_id = a.tenant_id AND lower(u.email) = lower(p_email)
                       AND u.external_auth_id IS NOT NULL ORDER BY u.id FOR NO KEY UPDATE);
  PERFORM kg.audit(a, 'user.create', 'user', p_id, v_former, jsonb_build_object('role', p_role));
  UPDATE kg.users u SET external_auth_provider = NULL, external_auth_id = NULL
   WHERE u.tenant_id = a.tenant_id AND u.id = ANY (v_former);
  INSERT INTO kg.users (id, tenant_id, email, name, role) VALUES (p_id, a.tenant_id, p_email, p_name, p_role);
  RETURN 'done';
EXCEPTION
  WHEN unique_violation THEN
    RETURN 'duplicate';
END $$;

-- p_changes: name, role, is_active, those that are there.
CREATE OR REPLACE FUNCTION kg.update_user(p_who jsonb, p_id uuid, p_changes jsonb) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor := kg.acting(p_who, 'admin');
  v_user kg.users;
  v_role text;
  v_active boolean;
  v_name text;
  v_details jsonb := '{}';
BEGIN
  IF a.refusal IS NOT NULL THEN
    RETURN a.refusal;
  END IF;
  SELECT * INTO v_user FROM kg.users u WHERE u.tenant_id = a.tenant_id AND u.id = p_id AND u.deleted_at IS NULL
    FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'not_found';
  END IF;
  v_role := coalesce(p_changes ->> 'role', v_user.role);
  v_active := coalesce((p_changes ->> 'is_active')::boolean, v_user.is_active);
  v_name := CASE WHEN p_changes ? 'name' THEN p_changes ->> 'name' ELSE v_user.name END;
  IF v_user.role = 'owner' AND v_user.is_active AND (v_role <> 'owner' OR NOT v_active) AND NOT kg.another_owner(p_id) THEN
    RETURN 'last_owner';
  ELSIF kg.role_rank(v_user.role) > kg.role_rank(a.role) THEN
    RETURN 'exceeds_role ' || v_user.role;
  ELSIF v_role = 'owner' AND v_user.role <> 'owner' THEN
    RETURN 'owner_by_transfer';
  ELSIF kg.role_rank(v_role) > kg.role_rank(a.role) THEN
    RETURN 'exceeds_role ' || v_role;
  END IF;
  IF v_role <> v_user.role THEN
    v_details := v_details || jsonb_build_object('role', jsonb_build_object('from', v_user.role, 'to', v_role));
  END IF;
  IF v_active <> v_user.is_active THEN
    v_details := v_details || jsonb_build_object('is_active', jsonb_build_object('from', v_user.is_active, 'to', v_active));
  END IF;
  IF v_name IS DISTINCT FROM v_user.name THEN
    v_details := v_details || '{"name": "changed"}';
  END IF;
  IF v_details = '{}' THEN
    RETURN 'done';  -- nothing was changed, and there is nothing to tell
  END IF;
  PERFORM kg.audit(a, 'user.update', 'user', p_id, NULL, v_details);
  UPDATE kg.users u SET role = v_role, is_active = v_active, name = v_name WHERE u.tenant_id = a.tenant_id AND u.id = p_id;
  RETURN 'done';
END $$;

-- Whether the tenant of the context has an owner who can act, beside this one.
CREATE OR REPLACE FUNCTION kg.another_owner(p_user uuid) RETURNS boolean
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT EXISTS (SELECT FROM kg.users u WHERE u.tenant_id = kg.current_tenant_id() AND u.id <> p_user AND u.role = 'owner'
                    AND u.is_active AND u.deleted_at IS NULL)
$$;

-- The row stays, so that what names it keeps its meaning, and a removed person cannot sign in anew. The keys are revoked.
CREATE OR REPLACE FUNCTION kg.delete_user(p_who jsonb, p_id uuid) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor := kg.acting(p_who, 'admin');
  v_user kg.users;
  v_keys uuid[];
BEGIN
  IF a.refusal IS NOT NULL THEN
    RETURN a.refusal;
  END IF;
  SELECT * INTO v_user FROM kg.users u WHERE u.tenant_id = a.tenant_id AND u.id = p_id AND u.deleted_at IS NULL
    FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'not_found';
  ELSIF v_user.role = 'owner' AND NOT kg.another_owner(p_id) THEN
    RETURN 'last_owner';
  ELSIF kg.role_rank(v_user.role) > kg.role_rank(a.role) THEN
    RETURN 'exceeds_role ' || v_user.role;
  END IF;
  v_keys := ARRAY(SELECT k.id FROM kg.api_keys k WHERE k.tenant_id = a.tenant_id AND k.user_id = p_id AND k.is_active
                   ORDER BY k.id FOR NO KEY UPDATE);
  PERFORM kg.audit(a, 'user.delete', 'user', p_id, v_keys,
                   jsonb_build_object('role', v_user.role, 'keys_revoked', cardinality(v_keys)));
  UPDATE kg.users u SET deleted_at = now(), is_active = false WHERE u.tenant_id = a.tenant_id AND u.id = p_id;
  UPDATE kg.api_keys k SET is_active = false, revoked_at = now(), revoked_by = a.user_id
   WHERE k.tenant_id = a.tenant_id AND k.id = ANY (v_keys);
  RETURN 'done';
END $$;

-- The caller's own ownership, to somebody who can act. The former owner becomes an admin.
CREATE OR REPLACE FUNCTION kg.hand_over_ownership(p_who jsonb, p_to uuid) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor := kg.acting(p_who, 'admin');
  v_to kg.users;
BEGIN
  IF a.refusal IS NOT NULL THEN
    RETURN a.refusal;
  ELSIF a.kind <> 'user' OR a.role <> 'owner' THEN
    RETURN 'not_owner';
  END IF;
  SELECT * INTO v_to FROM kg.users u WHERE u.tenant_id = a.tenant_id AND u.id = p_to AND u.deleted_at IS NULL
    FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'not_found';
  ELSIF p_to = a.user_id THEN
    RETURN 'done';
  ELSIF NOT v_to.is_active THEN
    RETURN 'inactive';
  END IF;
  PERFORM kg.audit(a, 'user.transfer_ownership', 'user', p_to, ARRAY[a.user_id],
                   jsonb_build_object('from', a.user_id, 'to', p_to));
  UPDATE kg.users u SET role = CASE u.id WHEN p_to THEN 'owner' ELSE 'admin' END
   WHERE u.tenant_id = a.tenant_id AND u.id IN (a.user_id, p_to);
  RETURN 'done';
END $$;

-- p_user: whose key it becomes; NULL: the caller's, and nobody's where the caller's is nobody's.
CREATE OR REPLACE FUNCTION kg.create_api_key(
    p_who jsonb, p_id uuid, p_user uuid, p_prefix text, p_hash text, p_name text, p_scopes text[], p_days integer,
    p_rpm integer) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor := kg.acting(p_who, 'admin');
  v_user uuid := coalesce(p_user, a.user_id);
  v_role text;
  v_beyond text;
  v_rpm integer;
BEGIN
  IF a.refusal IS NOT NULL THEN
    RETURN a.refusal;
  END IF;
  IF p_user IS NOT NULL THEN
    SELECT u.role INTO v_role FROM kg.users u
     WHERE u.tenant_id = a.tenant_id AND u.id = p_user AND u.is_active AND u.deleted_at IS NULL;
    IF NOT FOUND THEN
      RETURN 'user_not_found';
    ELSIF kg.role_rank(v_role) > kg.role_rank(a.role) THEN
      RETURN 'exceeds_role ' || v_role;
    END IF;
  END IF;
  SELECT s INTO v_beyond FROM unnest(p_scopes) s WHERE s <> ALL (a.scopes) LIMIT 1;
  IF FOUND THEN
    RETURN 'exceeds_scopes ' || v_beyond;
  END IF;
  SELECT s INTO v_beyond FROM unnest(p_scopes) s WHERE s <> ALL (kg.role_scopes(v_role)) LIMIT 1;
  IF v_role IS NOT NULL AND FOUND THEN
    RETURN 'beyond_role ' || v_role || ' ' || v_beyond;
  END IF;
  -- A key's own rate replaces the tenant's, so it may only be lower.
  IF p_rpm IS NOT NULL THEN
    SELECT l.rpm INTO v_rpm FROM kg.tenants t, LATERAL kg.effective_limits(t, t.subscription_tier, NULL, NULL, NULL) l
     WHERE t.id = a.tenant_id;
    IF v_rpm > 0 AND p_rpm > v_rpm THEN
      RETURN 'exceeds_rate ' || v_rpm;
    END IF;
  END IF;
  PERFORM kg.audit(a, 'api_key.create', 'api_key', p_id, NULL, jsonb_strip_nulls(jsonb_build_object(
    'key_prefix', p_prefix, 'scopes', to_jsonb(p_scopes), 'user_id', v_user, 'expires_in_days', p_days,
    'rate_limit_rpm', p_rpm)));
  INSERT INTO kg.api_keys (id, tenant_id, user_id, key_prefix, key_hash, name, scopes, rate_limit_rpm, expires_at)
  VALUES (p_id, a.tenant_id, v_user, p_prefix, p_hash, p_name, p_scopes, p_rpm, now() + make_interval(days => p_days));
  RETURN 'done';
END $$;

-- Whether this key may be changed by the actor: word or NULL. The key is locked.
CREATE OR REPLACE FUNCTION kg.key_refusal(p_who kg.actor, p_key uuid) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_key record;
BEGIN
  SELECT k.user_id INTO v_key FROM kg.api_keys k
   WHERE k.tenant_id = (p_who).tenant_id AND k.id = p_key AND k.kind = 'issued'
     FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'not_found';
  END IF;
  RETURN (SELECT 'exceeds_role ' || u.role FROM kg.users u
           WHERE u.tenant_id = (p_who).tenant_id AND u.id = v_key.user_id
             AND kg.role_rank(u.role) > kg.role_rank((p_who).role));
END $$;

-- The new key has all the old one had but its secret, the operations of the day too, and the old one is no more. p_new is
-- the new key's id.
CREATE OR REPLACE FUNCTION kg.rotate_api_key(p_who jsonb, p_id uuid, p_new uuid, p_prefix text, p_hash text) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor := kg.acting(p_who, 'admin');
  v_word text;
  v_old kg.api_keys;
  v_day text := to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD');
BEGIN
  v_word := coalesce(a.refusal, kg.key_refusal(a, p_id));
  IF v_word IS NOT NULL THEN
    RETURN v_word;
  END IF;
  SELECT * INTO v_old FROM kg.api_keys k WHERE k.id = p_id;
  IF NOT v_old.is_active OR v_old.revoked_at IS NOT NULL THEN
    RETURN 'revoked';
  ELSIF v_old.expires_at < now() THEN
    RETURN 'expired';
  ELSIF NOT v_old.scopes <@ a.scopes THEN
    RETURN 'exceeds_scopes ' || (SELECT s FROM unnest(v_old.scopes) s WHERE s <> ALL (a.scopes) LIMIT 1);
  END IF;
  PERFORM kg.audit(a, 'api_key.rotate', 'api_key', p_id, ARRAY[p_new],
                   jsonb_build_object('new_key', p_new, 'key_prefix', p_prefix));
  INSERT INTO kg.api_keys (id, tenant_id, user_id, user_ref, key_prefix, key_hash, name, scopes, rate_limit_rpm,
                           tokens_limit_request, tier_override, requests_per_day, tokens_limit_month, expires_at)
  VALUES (p_new, a.tenant_id, v_old.user_id, v_old.user_ref, p_prefix, p_hash, v_old.name, v_old.scopes,
          v_old.rate_limit_rpm, v_old.tokens_limit_request, v_old.tier_override, v_old.requests_per_day,
          v_old.tokens_limit_month, v_old.expires_at);
  UPDATE kg.api_keys k SET is_active = false, revoked_at = now(), revoked_by = a.user_id WHERE k.id = p_id;
  INSERT INTO kg.usage_counters (tenant_id, api_key_id, period, operations)
  SELECT c.tenant_id, p_new, c.period, c.operations FROM kg.usage_counters c
   WHERE c.tenant_id = a.tenant_id AND c.api_key_id = p_id AND c.period = v_day;
  RETURN 'done';
END $$;

-- Once more is done as well, and leaves no second entry.
CREATE OR REPLACE FUNCTION kg.revoke_api_key(p_who jsonb, p_id uuid) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor := kg.acting(p_who, 'admin');
  v_word text;
BEGIN
  v_word := coalesce(a.refusal, kg.key_refusal(a, p_id));
  IF v_word IS NOT NULL THEN
    RETURN v_word;
  ELSIF EXISTS (SELECT FROM kg.api_keys k WHERE k.id = p_id AND NOT k.is_active) THEN
    RETURN 'done';
  END IF;
  PERFORM kg.audit(a, 'api_key.revoke', 'api_key', p_id, NULL,
                   (SELECT jsonb_build_object('key_prefix', k.key_prefix) FROM kg.api_keys k WHERE k.id = p_id));
  UPDATE kg.api_keys k SET is_active = false, revoked_at = now(), revoked_by = a.user_id WHERE k.id = p_id;
  RETURN 'done';
END $$;

-- p_settings is merged member by member; null removes one. At most 64 KiB in all.
CREATE OR REPLACE FUNCTION kg.update_tenant(p_who jsonb, p_name text, p_settings jsonb) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  a kg.actor := kg.acting(p_who, 'admin');
  v_tenant kg.tenants;
  v_settings jsonb;
  v_details jsonb := '{}';
BEGIN
  IF a.refusal IS NOT NULL THEN
    RETURN a.refusal;
  END IF;
  SELECT * INTO v_tenant FROM kg.tenants t WHERE t.id = a.tenant_id;
  SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') INTO v_settings
    FROM jsonb_each(v_tenant.settings || coalesce(p_settings, '{}')) m WHERE m.value <> 'null';
  IF octet_length(v_settings::text) > 65536 THEN
    RETURN 'settings_too_large';
  END IF;
  IF p_name IS DISTINCT FROM v_tenant.name AND p_name IS NOT NULL THEN
    v_details := v_details || '{"name": "changed"}';
  END IF;
  IF v_settings <> v_tenant.settings THEN
    v_details := v_details || '{"settings": "changed"}';
  END IF;
  IF v_details = '{}' THEN
    RETURN 'done';
  END IF;
  PERFORM kg.audit(a, 'tenant.update', 'tenant', a.tenant_id, NULL, v_details);
  UPDATE kg.tenants t SET name = coalesce(p_name, name), settings = v_settings WHERE t.id = a.tenant_id;
  RETURN 'done';
END $$;

GRANT EXECUTE ON FUNCTION
  kg.create_user(jsonb, uuid, text, text, text), kg.update_user(jsonb, uuid, jsonb), kg.delete_user(jsonb, uuid),
  kg.hand_over_ownership(jsonb, uuid),
  kg.create_api_key(jsonb, uuid, uuid, text, text, text, text[], integer, integer),
  kg.rotate_api_key(jsonb, uuid, uuid, text, text), kg.revoke_api_key(jsonb, uuid),
  kg.update_tenant(jsonb, text, jsonb) TO kg_app;

-- What the soul said of an action that somebody wants to take. Not the action: p_details has its digest.
CREATE OR REPLACE FUNCTION kg.audit_governance(p_key uuid, p_outcome text, p_details jsonb) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  INSERT INTO kg.audit_log (tenant_id, actor_kind, actor_user, actor_key, actor_prefix, action, object_type, outcome,
                            details)
  SELECT k.tenant_id, CASE WHEN k.user_id IS NULL THEN 'key' ELSE 'user' END, k.user_id, k.id, k.key_prefix,
         'governance', 'action', p_outcome, p_details
    FROM kg.api_keys k WHERE k.id = p_key AND k.tenant_id = kg.current_tenant_id();
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no key of this tenant asked for the decision' USING ERRCODE = '42501';
  END IF;
END $$;
GRANT EXECUTE ON FUNCTION kg.audit_governance(uuid, text, jsonb) TO kg_app;

-- The operator's acts: for kg_control, since no tenant's request may ever reach them. p_who: {request_id, address}.

CREATE OR REPLACE FUNCTION kg.platform_actor(p_who jsonb, p_tenant uuid) RETURNS kg.actor
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT ROW(p_tenant, 'platform', NULL, NULL, NULL, NULL, '{}', p_who ->> 'request_id', p_who ->> 'address',
             NULL)::kg.actor
$$;

-- A tenant, its owner and the owner's first key, which may do everything.
CREATE OR REPLACE FUNCTION kg.platform_create_tenant(
    p_who jsonb, p_tenant uuid, p_name text, p_slug text, p_tier text, p_owner uuid, p_email text, p_key uuid,
    p_prefix text, p_hash text) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_limits record;
BEGIN
  SELECT * INTO v_limits FROM kg.tier_tenant_defaults(p_tier);
  IF v_limits.rate_limit_rpm IS NULL THEN
    RETURN 'unknown_tier';
  END IF;
  PERFORM kg.audit(kg.platform_actor(p_who, p_tenant), 'tenant.create', 'tenant', p_tenant, ARRAY[p_owner, p_key],
                   jsonb_build_object('slug', p_slug, 'tier', p_tier, 'owner', p_owner, 'key_prefix', p_prefix));
  INSERT INTO kg.tenants (id, name, slug, subscription_tier, tokens_limit_month, rate_limit_rpm)
  VALUES (p_tenant, p_name, p_slug, p_tier, v_limits.tokens_limit_month, v_limits.rate_limit_rpm);
  INSERT INTO kg.users (id, tenant_id, email, role) VALUES (p_owner, p_tenant, p_email, 'owner');
  INSERT INTO kg.api_keys (id, tenant_id, user_id, key_prefix, key_hash, name, scopes)
  VALUES (p_key, p_tenant, p_owner, p_prefix, p_hash, 'owner', '{read,write,admin,billing}');
  RETURN 'done';
EXCEPTION
  WHEN unique_violation THEN
    RETURN 'duplicate';
END $$;

-- p_changes: name, tier, status, and limits, those that are there; null: the tier's. A tier brings its two limits along, a
-- negotiated rate stays.
CREATE OR REPLACE FUNCTION kg.platform_update_tenant(p_who jsonb, p_tenant uuid, p_changes jsonb) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  v_old kg.tenants;
  v_new kg.tenants;
  v_limits record;
  v_details jsonb;
BEGIN
  SELECT * INTO v_old FROM kg.tenants t WHERE t.id = p_tenant AND t.deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'not_found';
  END IF;
  v_new := v_old;
  v_new.name := coalesce(p_changes ->> 'name', v_old.name);
  v_new.subscription_tier := coalesce(p_changes ->> 'tier', v_old.subscription_tier);
  v_new.subscription_status := coalesce(p_changes ->> 'status', v_old.subscription_status);
  SELECT * INTO v_limits FROM kg.tier_tenant_defaults(v_new.subscription_tier);
  IF p_changes ? 'rate_limit_rpm' THEN
    v_new.rate_limit_custom := p_changes ->> 'rate_limit_rpm' IS NOT NULL;
    v_new.rate_limit_rpm := coalesce((p_changes ->> 'rate_limit_rpm')::integer, v_limits.rate_limit_rpm);
  ELSIF v_new.subscription_tier <> v_old.subscription_tier AND NOT v_old.rate_limit_custom THEN
    v_new.rate_limit_rpm := v_limits.rate_limit_rpm;
  END IF;
  IF p_changes ? 'tokens_limit_month' THEN
    v_new.tokens_limit_month := coalesce((p_changes ->> 'tokens_limit_month')::bigint, v_limits.tokens_limit_month);
  ELSIF v_new.subscription_tier <> v_old.subscription_tier THEN
    v_new.tokens_limit_month := v_limits.tokens_limit_month;
  END IF;
  IF p_changes ? 'rate_limit_rph' THEN
    v_new.rate_limit_rph := (p_changes ->> 'rate_limit_rph')::integer;
  END IF;
  IF p_changes ? 'rate_burst' THEN
    v_new.rate_burst := (p_changes ->> 'rate_burst')::integer;
  END IF;
  IF p_changes ? 'requests_per_day' THEN
    v_new.requests_per_day := (p_changes ->> 'requests_per_day')::integer;
  END IF;
  SELECT jsonb_object_agg(n.key, CASE n.key WHEN 'name' THEN '"changed"'::jsonb
           ELSE jsonb_build_object('from', to_jsonb(v_old) -> n.key, 'to', n.value) END) INTO v_details
    FROM jsonb_each(to_jsonb(v_new)) n WHERE n.value IS DISTINCT FROM to_jsonb(v_old) -> n.key;
  IF v_details IS NULL THEN
    RETURN 'done';
  END IF;
  PERFORM kg.audit(kg.platform_actor(p_who, p_tenant), 'tenant.update', 'tenant', p_tenant, NULL, v_details);
  UPDATE kg.tenants t
     SET name = v_new.name, subscription_tier = v_new.subscription_tier, subscription_status = v_new.subscription_status,
         tokens_limit_month = v_new.tokens_limit_month, rate_limit_rpm = v_new.rate_limit_rpm,
         rate_limit_custom = v_new.rate_limit_custom, rate_limit_rph = v_new.rate_limit_rph,
         rate_burst = v_new.rate_burst, requests_per_day = v_new.requests_per_day
   WHERE t.id = p_tenant;
  RETURN 'done';
END $$;

-- Its rows stay; its keys open nothing from now on, and the slug is free again.
CREATE OR REPLACE FUNCTION kg.platform_delete_tenant(p_who jsonb, p_tenant uuid) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  PERFORM FROM kg.tenants t WHERE t.id = p_tenant AND t.deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'not_found';
  END IF;
  PERFORM kg.audit(kg.platform_actor(p_who, p_tenant), 'tenant.delete', 'tenant', p_tenant, NULL, NULL);
  UPDATE kg.tenants t SET deleted_at = now() WHERE t.id = p_tenant;
  RETURN 'done';
END $$;

-- Living tenants, newest first; NULL: any. `total` counts those that fit, before paging.
CREATE OR REPLACE FUNCTION kg.platform_tenants(
    p_tenant uuid, p_slug text, p_tier text, p_status text, p_limit integer, p_offset bigint)
  RETURNS TABLE (
    id uuid, name text, slug text, tier text, status text, stripe_customer_id text, tokens_used_month bigint,
    tokens_limit_month bigint, rate_limit_rpm integer, rate_limit_custom boolean, rate_limit_rph integer,
    rate_burst integer, requests_per_day integer, data_plane text, settings jsonb, members bigint,
    created_at timestamptz, updated_at timestamptz, total bigint)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH fitting AS (
    SELECT t.* FROM kg.tenants t
     WHERE t.deleted_at IS NULL AND (p_tenant IS NULL OR t.id = p_tenant) AND (p_slug IS NULL OR t.slug = p_slug)
       AND (p_tier IS NULL OR t.subscription_tier = p_tier) AND (p_status IS NULL OR t.subscription_status = p_status)
  ), page AS (SELECT f.* FROM fitting f ORDER BY f.created_at DESC, f.id DESC LIMIT p_limit OFFSET p_offset)
  SELECT t.id, t.name, t.slug, t.subscription_tier, t.subscription_status, t.stripe_customer_id,
         CASE WHEN t.usage_period = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM') THEN t.tokens_used_month ELSE 0 END,
         t.tokens_limit_month, t.rate_limit_rpm, t.rate_limit_custom, t.rate_limit_rph, t.rate_burst,
         t.requests_per_day, t.data_plane, t.settings,
         (SELECT count(*) FROM kg.users u WHERE u.tenant_id = t.id AND u.deleted_at IS NULL),
         t.created_at, t.updated_at, n.total
    FROM (SELECT count(*) AS total FROM fitting) n LEFT JOIN page t ON true
   ORDER BY t.created_at DESC, t.id DESC
$$;

GRANT EXECUTE ON FUNCTION
  kg.platform_create_tenant(jsonb, uuid, text, text, text, uuid, text, uuid, text, text),
  kg.platform_update_tenant(jsonb, uuid, jsonb), kg.platform_delete_tenant(jsonb, uuid),
  kg.platform_tenants(uuid, text, text, text, integer, bigint) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
