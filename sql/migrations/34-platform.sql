-- The operator's acts: for kg_control, since no tenant's request may ever reach them. p_who: {request_id, address}.

SET LOCAL ROLE kg_owner;
GRANT CREATE ON SCHEMA kg TO kg_definer;
SET LOCAL ROLE kg_definer;

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
