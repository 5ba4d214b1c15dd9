-- Why a key may be used no more, and when somebody's authority last changed: what ends streams and empties caches.

SET LOCAL ROLE kg_owner;

-- Of changes that grant or take something; NULL: none yet. Whoever knows of a key what is older than this, does not know
-- what it may do.
ALTER TABLE kg.tenants ADD COLUMN IF NOT EXISTS authority_changed_at timestamptz;
ALTER TABLE kg.users ADD COLUMN IF NOT EXISTS authority_changed_at timestamptz;
ALTER TABLE kg.api_keys ADD COLUMN IF NOT EXISTS authority_changed_at timestamptz;

-- Told at the commit. Nodes that hear it look at once; the others see it at their next look, a second later at most.
CREATE OR REPLACE FUNCTION kg.authority_changed() RETURNS trigger
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
BEGIN
  PERFORM pg_notify('kg_access', '');
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  NEW.authority_changed_at := clock_timestamp();
  RETURN NEW;
END $$;

-- The usage counter and stamps of use are no such change: they are rewritten with every answer.
CREATE OR REPLACE TRIGGER tenants_authority
  BEFORE UPDATE OF subscription_tier, subscription_status, deleted_at, tokens_limit_month, rate_limit_rpm,
                   rate_limit_custom, rate_limit_rph, rate_burst, requests_per_day, data_plane, silo_dsn_ref ON kg.tenants
  FOR EACH ROW WHEN (
    (OLD.subscription_tier, OLD.subscription_status, OLD.deleted_at, OLD.tokens_limit_month, OLD.rate_limit_rpm,
     OLD.rate_limit_custom, OLD.rate_limit_rph, OLD.rate_burst, OLD.requests_per_day, OLD.data_plane, OLD.silo_dsn_ref)
      IS DISTINCT FROM
    (NEW.subscription_tier, NEW.subscription_status, NEW.deleted_at, NEW.tokens_limit_month, NEW.rate_limit_rpm,
     NEW.rate_limit_custom, NEW.rate_limit_rph, NEW.rate_burst, NEW.requests_per_day, NEW.data_plane, NEW.silo_dsn_ref))
  EXECUTE FUNCTION kg.authority_changed();
CREATE OR REPLACE TRIGGER users_authority
  BEFORE UPDATE OF role, is_active, deleted_at ON kg.users
  FOR EACH ROW WHEN ((OLD.role, OLD.is_active, OLD.deleted_at) IS DISTINCT FROM (NEW.role, NEW.is_active, NEW.deleted_at))
  EXECUTE FUNCTION kg.authority_changed();
CREATE OR REPLACE TRIGGER api_keys_authority
  BEFORE UPDATE OF user_id, scopes, rate_limit_rpm, tokens_limit_request, tier_override, requests_per_day,
                   tokens_limit_month, expires_at, is_active, revoked_at ON kg.api_keys
  FOR EACH ROW WHEN (
    (OLD.user_id, OLD.scopes, OLD.rate_limit_rpm, OLD.tokens_limit_request, OLD.tier_override, OLD.requests_per_day,
     OLD.tokens_limit_month, OLD.expires_at, OLD.is_active, OLD.revoked_at)
      IS DISTINCT FROM
    (NEW.user_id, NEW.scopes, NEW.rate_limit_rpm, NEW.tokens_limit_request, NEW.tier_override, NEW.requests_per_day,
     NEW.tokens_limit_month, NEW.expires_at, NEW.is_active, NEW.revoked_at))
  EXECUTE FUNCTION kg.authority_changed();
CREATE OR REPLACE TRIGGER users_authority_gone BEFORE DELETE ON kg.users
  FOR EACH ROW EXECUTE FUNCTION kg.authority_changed();
CREATE OR REPLACE TRIGGER api_keys_authority_gone BEFORE DELETE ON kg.api_keys
  FOR EACH ROW EXECUTE FUNCTION kg.authority_changed();

GRANT CREATE ON SCHEMA kg TO kg_definer;
SET LOCAL ROLE kg_definer;

-- Of these keys, those of which a node must not believe what it knows, and why. `key_revoked` (a key that is not there
-- is one), `key_expired`, `user_deactivated` and `tenant_inactive` end the key's streams. `unreadable`: it may not read,
-- whoever opened something with it to read could once. `changed`: it may do something else than before `changed_at`
-- (microseconds since 1970; 0: no change). Changes of 25 hours are told: a capability token lives for 24.
DROP FUNCTION IF EXISTS kg.unfit_keys(uuid[]);
CREATE FUNCTION kg.unfit_keys(p_keys uuid[]) RETURNS TABLE (key_id uuid, reason text, changed_at bigint)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT p.id, x.reason, coalesce((extract(epoch FROM c.at) * 1000000)::bigint, 0)
    FROM unnest(p_keys) AS p (id)
    LEFT JOIN kg.api_keys k ON k.id = p.id
    LEFT JOIN kg.tenants t ON t.id = k.tenant_id
    LEFT JOIN kg.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
   CROSS JOIN LATERAL (SELECT greatest(k.authority_changed_at, u.authority_changed_at, t.authority_changed_at) AS at) c
   CROSS JOIN LATERAL (SELECT CASE
     WHEN k.id IS NULL THEN 'key_revoked'
     WHEN t.deleted_at IS NOT NULL OR t.subscription_status NOT IN ('active', 'trialing', 'past_due') THEN 'tenant_inactive'
     WHEN k.user_id IS NOT NULL AND (u.id IS NULL OR NOT u.is_active OR u.deleted_at IS NOT NULL) THEN 'user_deactivated'
     WHEN NOT k.is_active OR k.revoked_at IS NOT NULL THEN 'key_revoked'
     WHEN now() > k.expires_at THEN 'key_expired'
     -- No scopes at all are those of a person who signs in: the token says what it may do.
     WHEN cardinality(k.scopes) > 0 AND NOT 'read' = ANY (k.scopes) THEN 'unreadable'
     WHEN c.at > now() - interval '25 hours' THEN 'changed'
     END AS reason) x
   WHERE x.reason IS NOT NULL
$$;
GRANT EXECUTE ON FUNCTION kg.unfit_keys(uuid[]) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
