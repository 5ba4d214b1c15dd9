-- People who sign in with a token of the identity provider (http-api.md 2.7). A person who does has one row of
-- kg.api_keys, which counts, limits and revokes like any key's; nobody has a key that hashes to it.

SET LOCAL ROLE kg_owner;

ALTER TABLE kg.api_keys ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'issued';
ALTER TABLE kg.api_keys DROP CONSTRAINT IF EXISTS valid_kind;
ALTER TABLE kg.api_keys ADD CONSTRAINT valid_kind CHECK (
  kind = 'issued' OR (kind = 'sign_in' AND scopes = '{}' AND expires_at IS NULL));
CREATE UNIQUE INDEX IF NOT EXISTS idx_api_keys_sign_in ON kg.api_keys (user_id)
  WHERE kind = 'sign_in' AND is_active AND revoked_at IS NULL;
GRANT SELECT (kind) ON kg.api_keys TO kg_app;  -- listings show issued keys only

-- When somebody was last here is no event for anybody downstream.
DROP TRIGGER IF EXISTS users_outbox_trigger ON kg.users;
CREATE TRIGGER users_outbox_trigger AFTER INSERT OR DELETE ON kg.users
  FOR EACH ROW EXECUTE FUNCTION kg.outbox_trigger();
DROP TRIGGER IF EXISTS users_outbox_update_trigger ON kg.users;
CREATE TRIGGER users_outbox_update_trigger AFTER UPDATE ON kg.users
  FOR EACH ROW WHEN (
    (to_jsonb(OLD) - '{last_login_at,updated_at}'::text[])
      IS DISTINCT FROM (to_jsonb(NEW) - '{last_login_at,updated_at}'::text[]))
  EXECUTE FUNCTION kg.outbox_trigger();

-- As in 26-agentese-schedule, and for the actions of people who signed in.
CREATE OR REPLACE FUNCTION kg.claim_agentese_action(p_id bigint, p_shard integer, p_epoch bigint)
  RETURNS TABLE (id bigint, path text, kwargs text, is_strict boolean, archetype text, observer_id text,
                 capabilities text[], caller_user text, caller_key uuid, caller_tier text, caller_scopes text[],
                 denied text)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_action kg.agentese_actions;
  v_scopes text[];
  v_role text;
  v_denied text;
BEGIN
  SELECT * INTO v_action FROM kg.agentese_actions a
   WHERE a.id = p_id AND a.status = 'pending' AND a.scheduled_for <= now() FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  v_scopes := v_action.caller_scopes;
  IF NOT EXISTS (SELECT FROM kg.tenants t WHERE t.subscription_status IN ('active', 'trialing', 'past_due')) THEN
    v_denied := 'the tenant''s subscription is not active';
  ELSIF v_action.caller_key IS NOT NULL THEN
    -- As for a request with that key: see resolve_api_key.
    SELECT ARRAY(SELECT s FROM unnest(v_action.caller_scopes) s
                  -- Who signed in has a key without scopes (also in a silo, which knows no kinds): the role decides.
                  WHERE (s = ANY (k.scopes) OR (k.scopes = '{}' AND k.user_id IS NOT NULL AND k.key_prefix = 'kg_token'))
                    AND (u.id IS NULL OR u.role IN ('owner', 'admin') OR s = 'read' OR (u.role = 'member' AND s = 'write')))
      INTO v_scopes
      FROM kg.api_keys k LEFT JOIN kg.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
     WHERE k.id = v_action.caller_key AND k.is_active AND k.revoked_at IS NULL
       AND (k.expires_at IS NULL OR now() <= k.expires_at)
       AND (k.user_id IS NULL OR (u.is_active AND u.deleted_at IS NULL));
    IF NOT FOUND THEN
      v_denied := 'the API key that scheduled it is revoked or has expired';
    END IF;
  ELSE
    SELECT u.role INTO v_role FROM kg.users u
     WHERE u.id::text = v_action.caller_user AND u.is_active AND u.deleted_at IS NULL;
    IF NOT FOUND THEN
      v_denied := 'the user who scheduled it is not active any more';
    ELSE
      v_scopes := ARRAY(SELECT s FROM unnest(v_action.caller_scopes) s
                         WHERE v_role IN ('owner', 'admin') OR s = 'read' OR (v_role = 'member' AND s = 'write'));
    END IF;
  END IF;
  UPDATE kg.agentese_actions a SET status = 'running', claimed_at = now() WHERE a.id = v_action.id;
  UPDATE kg.agentese_schedules SET running_shard = p_shard, running_epoch = p_epoch;
  PERFORM kg.reschedule_agentese();
  RETURN QUERY
  SELECT v_action.id, v_action.path, v_action.kwargs::text, v_action.is_strict, v_action.archetype, v_action.observer_id,
         v_action.capabilities, v_action.caller_user, v_action.caller_key, v_action.caller_tier, v_scopes, v_denied;
END $$;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT ON kg.api_keys TO kg_definer;
SET LOCAL ROLE kg_definer;

-- A person that the provider vouches for and nobody has seen yet: the invited user with that (verified) email, or a new
-- one. Null when there is neither. The tenant's row is locked, so that two nodes that see the same person make one user
-- and a tenant never has more members than its tier allows.
CREATE OR REPLACE FUNCTION kg.admit_person(
    p_issuer text, p_subject text, p_tenant uuid, p_email text, p_name text, p_role text, p_provision boolean)
  RETURNS kg.users LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  person kg.users;
  most integer;
BEGIN
  SELECT l.max_members INTO most FROM kg.tenants t JOIN kg.tier_limits l ON l.tier = t.subscription_tier
   WHERE t.id = p_tenant AND t.deleted_at IS NULL AND t.subscription_status IN ('active', 'trialing', 'past_due')
     FOR NO KEY UPDATE OF t;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  SELECT * INTO person FROM kg.users u
   WHERE u.external_auth_provider = p_issuer AND u.external_auth_id = p_subject;
  IF FOUND THEN  -- another node was faster
    RETURN person;
  END IF;
  SELECT * INTO person FROM kg.users u WHERE u.tenant_id = p_tenant AND lower(u.email) = lower(p_email)
   ORDER BY u.deleted_at NULLS FIRST LIMIT 1;
  IF FOUND THEN
    IF person.external_auth_id IS NOT NULL OR NOT person.is_active OR person.deleted_at IS NOT NULL THEN
      RETURN NULL;
    END IF;
    UPDATE kg.users u SET external_auth_provider = p_issuer, external_auth_id = p_subject, email_verified = true
     WHERE u.id = person.id RETURNING * INTO person;
    RETURN person;
  END IF;
  IF NOT p_provision
     OR (most > 0 AND most <= (SELECT count(*) FROM kg.users u WHERE u.tenant_id = p_tenant AND u.deleted_at IS NULL)) THEN
    RETURN NULL;
  END IF;
  INSERT INTO kg.users (tenant_id, email, name, role, email_verified, external_auth_provider, external_auth_id)
  VALUES (p_tenant,
          -- Without an email that is verified: an address of nobody, the person's own all the same.
          coalesce(p_email, left(encode(sha256(convert_to(p_issuer || ' ' || p_subject, 'UTF8')), 'hex'), 32)
                            || '@sign-in.invalid'),
          p_name, p_role, p_email IS NOT NULL, p_issuer, p_subject)
  ON CONFLICT DO NOTHING RETURNING * INTO person;
  RETURN person;
END $$;

-- Who signs in with a token: one row like kg.resolve_api_key's when there is an active user of a live tenant, none
-- otherwise. `scopes` are those of the user's role. `p_email` only when the provider has verified it; `p_tenant` is the
-- token's, null when it names none.
CREATE OR REPLACE FUNCTION kg.resolve_sign_in(
    p_issuer text, p_subject text, p_tenant uuid, p_email text, p_name text, p_role text, p_provision boolean)
  RETURNS TABLE (
    key_id uuid, tenant_id uuid, user_id uuid, user_ref text, key_prefix text, scopes text[], tier text, status text,
    rpm integer, burst integer, rph integer, ops_per_day integer, tokens_limit_month bigint,
    tokens_limit_request integer, tokens_used_month bigint, data_plane text, silo_dsn_ref text, expires_at timestamptz)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  person kg.users;
  own uuid;
BEGIN
  IF p_role NOT IN ('admin', 'member', 'readonly') THEN
    RAISE EXCEPTION 'a token makes nobody %', p_role USING ERRCODE = '42501';
  END IF;
  SELECT * INTO person FROM kg.users u
   WHERE u.external_auth_provider = p_issuer AND u.external_auth_id = p_subject;
  IF NOT FOUND AND p_tenant IS NOT NULL THEN
    person := kg.admit_person(p_issuer, p_subject, p_tenant, p_email, p_name, p_role, p_provision);
  END IF;
  IF person.id IS NULL OR NOT person.is_active OR person.deleted_at IS NOT NULL
     OR person.tenant_id <> coalesce(p_tenant, person.tenant_id)
     OR NOT EXISTS (SELECT FROM kg.tenants t WHERE t.id = person.tenant_id AND t.deleted_at IS NULL) THEN
    RETURN;
  END IF;
  SELECT k.id INTO own FROM kg.api_keys k
   WHERE k.user_id = person.id AND k.kind = 'sign_in' AND k.is_active AND k.revoked_at IS NULL;
  IF NOT FOUND THEN
    INSERT INTO kg.api_keys (tenant_id, user_id, kind, key_prefix, key_hash, name, scopes)
    VALUES (person.tenant_id, person.id, 'sign_in', 'kg_token',
            encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 'Single sign-on', '{}')
    ON CONFLICT (user_id) WHERE kind = 'sign_in' AND is_active AND revoked_at IS NULL DO NOTHING
    RETURNING id INTO own;
    IF own IS NULL THEN
      SELECT k.id INTO own FROM kg.api_keys k
       WHERE k.user_id = person.id AND k.kind = 'sign_in' AND k.is_active AND k.revoked_at IS NULL;
    END IF;
  END IF;
  UPDATE kg.users u SET last_login_at = now()
   WHERE u.id = person.id AND (u.last_login_at IS NULL OR u.last_login_at < now() - interval '1 minute');
  RETURN QUERY
  SELECT own, t.id, person.id, person.id::text, 'kg_token',
         CASE WHEN person.role IN ('owner', 'admin') THEN '{read,write,admin,billing}'::text[]
              WHEN person.role = 'member' THEN '{read,write}'::text[]
              ELSE '{read}'::text[] END,
         t.subscription_tier, t.subscription_status, l.rpm, l.burst, l.rph, l.ops_per_day, l.tokens_limit_month,
         NULL::integer, l.tokens_used_month, t.data_plane, t.silo_dsn_ref, NULL::timestamptz
    FROM kg.tenants t
   CROSS JOIN LATERAL kg.effective_limits(t, t.subscription_tier, NULL, NULL, NULL) l
   WHERE t.id = person.tenant_id;
END $$;
GRANT EXECUTE ON FUNCTION kg.resolve_sign_in(text, text, uuid, text, text, text, boolean) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
