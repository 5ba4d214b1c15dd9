-- The tenant context and the few functions that look across tenants.

SET LOCAL ROLE kg_owner;

-- NULL when unset. NULLIF, because after its first use on a connection the setting exists as '' outside a transaction.
--
-- Every policy asks for it, so it must be inlined: a function with a SET clause is parsed and planned anew in each
-- statement, which took a third of a turn's time. RETURN binds the names when the function is made, so no search_path
-- can change what it calls.
CREATE OR REPLACE FUNCTION kg.current_tenant_id() RETURNS uuid
  LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(pg_catalog.current_setting('app.current_tenant', true), '')::pg_catalog.uuid;

-- For the rest of this transaction, one way: a transaction that has begun for one tenant cannot turn to another.
CREATE OR REPLACE FUNCTION kg.set_tenant_context(p_tenant uuid) RETURNS void
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
DECLARE
  present text := nullif(current_setting('app.current_tenant', true), '');
BEGIN
  IF p_tenant IS NULL THEN
    RAISE EXCEPTION 'the tenant of a context may not be null' USING ERRCODE = '22004';
  END IF;
  IF present IS NOT NULL AND present::uuid <> p_tenant THEN
    RAISE EXCEPTION 'this transaction already has the context of another tenant' USING ERRCODE = '42501';
  END IF;
  PERFORM set_config('app.current_tenant', p_tenant::text, true);
END $$;

-- For long transactions of workers that visit one tenant after the other.
CREATE OR REPLACE FUNCTION kg.clear_tenant_context() RETURNS void
  LANGUAGE sql SET search_path = pg_catalog, kg AS $$
  SELECT set_config('app.current_tenant', '', true)
$$;

GRANT EXECUTE ON FUNCTION kg.current_tenant_id(), kg.set_tenant_context(uuid), kg.clear_tenant_context()
  TO kg_app, kg_admin, kg_definer;

-- What a new tenant, or one that changes its tier, is given (data model's numbers; tier_limits has those of traffic).
CREATE OR REPLACE FUNCTION kg.tier_tenant_defaults(p_tier text, OUT tokens_limit_month bigint, OUT rate_limit_rpm integer)
  LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, kg AS $$
  SELECT tokens, rpm FROM (VALUES
    ('free',         10000::bigint,    60),
    ('starter',     100000,           300),
    ('pro',         100000,           600),
    ('team',       2000000,           600),
    ('enterprise', 1000000,          6000),
    ('custom',           0,         10000)) AS d (tier, tokens, rpm)
  WHERE tier = p_tier
$$;
GRANT EXECUTE ON FUNCTION kg.tier_tenant_defaults(text) TO kg_definer, kg_admin;

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT, UPDATE ON kg.tenants, kg.users TO kg_definer;
GRANT SELECT ON kg.api_keys TO kg_definer;

SET LOCAL ROLE kg_definer;

CREATE OR REPLACE FUNCTION kg.tenant_for_stripe_customer(p_customer text) RETURNS uuid
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT id FROM kg.tenants WHERE stripe_customer_id = p_customer AND deleted_at IS NULL
$$;
GRANT EXECUTE ON FUNCTION kg.tenant_for_stripe_customer(text) TO kg_billing;

-- After a checkout. False when the tenant does not exist; a customer of another tenant is a unique violation.
CREATE OR REPLACE FUNCTION kg.link_stripe_customer(p_tenant uuid, p_customer text, p_subscription text) RETURNS boolean
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH linked AS (
    UPDATE kg.tenants
       SET stripe_customer_id = p_customer,
           stripe_subscription_id = coalesce(p_subscription, stripe_subscription_id)
     WHERE id = p_tenant AND deleted_at IS NULL
     RETURNING 1)
  SELECT EXISTS (SELECT FROM linked)
$$;
GRANT EXECUTE ON FUNCTION kg.link_stripe_customer(uuid, text, text) TO kg_billing;

-- NULL tier, status, subscription or period end leaves that column as it is. False when the tenant does not exist or has
-- seen a newer event: Stripe does not deliver in order.
CREATE OR REPLACE FUNCTION kg.apply_subscription(
    p_tenant uuid, p_tier text, p_status text, p_subscription text, p_period_end timestamptz,
    p_event_created timestamptz) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  tenant kg.tenants;
  limits record;
BEGIN
  IF p_event_created IS NULL THEN
    RAISE EXCEPTION 'the time of the event may not be null' USING ERRCODE = '22004';
  END IF;
  SELECT * INTO tenant FROM kg.tenants WHERE id = p_tenant AND deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND OR p_event_created < tenant.billing_event_at THEN
    RETURN false;
  END IF;
  IF p_tier IS NOT NULL AND p_tier <> tenant.subscription_tier THEN
    SELECT * INTO limits FROM kg.tier_tenant_defaults(p_tier);
    tenant.subscription_tier := p_tier;
    tenant.tokens_limit_month := coalesce(limits.tokens_limit_month, tenant.tokens_limit_month);
    IF NOT tenant.rate_limit_custom THEN
      tenant.rate_limit_rpm := coalesce(limits.rate_limit_rpm, tenant.rate_limit_rpm);
    END IF;
  END IF;
  UPDATE kg.tenants
     SET subscription_tier = tenant.subscription_tier,
         tokens_limit_month = tenant.tokens_limit_month,
         rate_limit_rpm = tenant.rate_limit_rpm,
         subscription_status = coalesce(p_status, subscription_status),
         stripe_subscription_id = coalesce(p_subscription, stripe_subscription_id),
         current_period_end = coalesce(p_period_end, current_period_end),
         billing_event_at = p_event_created
   WHERE id = p_tenant;
  RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION kg.apply_subscription(uuid, text, text, text, timestamptz, timestamptz) TO kg_billing;

CREATE OR REPLACE FUNCTION kg.provision_tenant(p_name text, p_slug text, p_tier text, p_owner_email text) RETURNS uuid
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  created uuid;
  limits record;
BEGIN
  SELECT * INTO limits FROM kg.tier_tenant_defaults(p_tier);
  IF limits.rate_limit_rpm IS NULL THEN
    RAISE EXCEPTION 'unknown tier %', p_tier USING ERRCODE = '22023';
  END IF;
  INSERT INTO kg.tenants (name, slug, subscription_tier, tokens_limit_month, rate_limit_rpm)
  VALUES (p_name, p_slug, p_tier, limits.tokens_limit_month, limits.rate_limit_rpm)
  RETURNING id INTO created;
  INSERT INTO kg.users (tenant_id, email, role) VALUES (created, p_owner_email, 'owner');
  RETURN created;
END $$;
GRANT EXECUTE ON FUNCTION kg.provision_tenant(text, text, text, text) TO kg_admin;

-- Inside the current tenant only. False when there is no such user. An owner is made and unmade by transfer_ownership.
CREATE OR REPLACE FUNCTION kg.set_user_role(p_user uuid, p_role text) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  present text;
BEGIN
  SELECT role INTO present FROM kg.users
   WHERE id = p_user AND tenant_id = kg.current_tenant_id() AND deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF present = 'owner' OR p_role IS NULL OR p_role = 'owner' THEN
    RAISE EXCEPTION 'the role owner is transferred, not set' USING ERRCODE = '42501';
  END IF;
  UPDATE kg.users SET role = p_role WHERE id = p_user AND tenant_id = kg.current_tenant_id();
  RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION kg.set_user_role(uuid, text) TO kg_app;

-- The former owner becomes an admin. False when either user is missing, `p_from` is no owner or `p_to` is inactive.
CREATE OR REPLACE FUNCTION kg.transfer_ownership(p_from uuid, p_to uuid) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
BEGIN
  IF p_from = p_to THEN
    RETURN false;
  END IF;
  -- In the order of ids, so that two transfers at once wait for each other instead of deadlocking.
  PERFORM FROM kg.users WHERE tenant_id = kg.current_tenant_id() AND id IN (p_from, p_to) ORDER BY id
    FOR NO KEY UPDATE;
  IF NOT EXISTS (SELECT FROM kg.users WHERE tenant_id = kg.current_tenant_id() AND id = p_from
                    AND role = 'owner' AND deleted_at IS NULL)
     OR NOT EXISTS (SELECT FROM kg.users WHERE tenant_id = kg.current_tenant_id() AND id = p_to
                       AND is_active AND deleted_at IS NULL) THEN
    RETURN false;
  END IF;
  UPDATE kg.users SET role = CASE id WHEN p_to THEN 'owner' ELSE 'admin' END
   WHERE tenant_id = kg.current_tenant_id() AND id IN (p_from, p_to);
  RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION kg.transfer_ownership(uuid, uuid) TO kg_app;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
