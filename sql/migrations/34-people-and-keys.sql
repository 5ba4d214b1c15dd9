-- A tenant's own acts of administration: who its people are, and which keys it has (see 34-administration).

SET LOCAL ROLE kg_owner;
GRANT CREATE ON SCHEMA kg TO kg_definer;
SET LOCAL ROLE kg_definer;

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

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
