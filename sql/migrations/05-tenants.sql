SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.tenants (
  id                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name                   text NOT NULL CONSTRAINT valid_name CHECK (length(name) BETWEEN 1 AND 200),
  slug                   text NOT NULL CONSTRAINT valid_slug CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  stripe_customer_id     text UNIQUE,
  subscription_tier      text NOT NULL DEFAULT 'free' CONSTRAINT valid_tier CHECK (subscription_tier IN (
                           'free', 'starter', 'pro', 'team', 'enterprise', 'custom')),
  subscription_status    text NOT NULL DEFAULT 'active' CONSTRAINT valid_subscription_status CHECK (
                           subscription_status IN ('active', 'past_due', 'canceled', 'trialing', 'paused')),
  -- A cache of the month usage_period; usage_events is the truth.
  tokens_used_month      bigint NOT NULL DEFAULT 0,
  tokens_limit_month     bigint NOT NULL DEFAULT 10000,  -- 0: unlimited
  rate_limit_rpm         integer NOT NULL DEFAULT 60,
  settings               jsonb NOT NULL DEFAULT '{}',
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  deleted_at             timestamptz,
  usage_period           text NOT NULL DEFAULT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'),
  rate_limit_custom      boolean NOT NULL DEFAULT false,  -- true: rate_limit_rpm was negotiated and shapes traffic
  rate_limit_rph         integer,                         -- these three: NULL takes the tier's value
  rate_burst             integer,
  requests_per_day       integer,
  stripe_subscription_id text UNIQUE,
  current_period_end     timestamptz,
  billing_event_at       timestamptz,                     -- creation time of the last applied Stripe event
  data_plane             text NOT NULL DEFAULT 'pool' CONSTRAINT valid_data_plane CHECK (data_plane IN ('pool', 'silo')),
  silo_dsn_ref           text,                            -- name of a secret, never a DSN
  CONSTRAINT silo_has_dsn CHECK ((data_plane = 'silo') = (silo_dsn_ref IS NOT NULL)),
  CONSTRAINT positive_limits CHECK (tokens_limit_month >= 0 AND rate_limit_rpm > 0)
) WITH (fillfactor = 50);  -- room beside the row: the usage counter is rewritten with every answer

-- Live rows only: the slug of a deleted tenant is free again.
CREATE UNIQUE INDEX IF NOT EXISTS idx_tenants_slug ON kg.tenants (slug) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_tenants_stripe ON kg.tenants (stripe_customer_id) WHERE stripe_customer_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_tenants_tier ON kg.tenants (subscription_tier) WHERE deleted_at IS NULL;

CREATE OR REPLACE TRIGGER tenants_updated_at BEFORE UPDATE ON kg.tenants
  FOR EACH ROW EXECUTE FUNCTION kg.update_updated_at();

-- Two triggers, because WHEN of an INSERT may not name OLD. A change of the usage counter alone is no event: it
-- happens with every answer and usage_events tells of it already.
DROP TRIGGER IF EXISTS tenants_outbox_trigger ON kg.tenants;
CREATE TRIGGER tenants_outbox_trigger AFTER INSERT OR DELETE ON kg.tenants
  FOR EACH ROW EXECUTE FUNCTION kg.outbox_trigger();
DROP TRIGGER IF EXISTS tenants_outbox_update_trigger ON kg.tenants;
CREATE TRIGGER tenants_outbox_update_trigger AFTER UPDATE ON kg.tenants
  FOR EACH ROW WHEN (
    (to_jsonb(OLD) - '{tokens_used_month,usage_period,updated_at}'::text[])
      IS DISTINCT FROM (to_jsonb(NEW) - '{tokens_used_month,usage_period,updated_at}'::text[]))
  EXECUTE FUNCTION kg.outbox_trigger();
