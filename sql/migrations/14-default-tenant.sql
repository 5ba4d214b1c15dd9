-- Development tenant, user and keys. The runner applies this file only when seeding is on (KGENTS_ENV dev or test); the
-- start-up check refuses production when one of these hashes exists. They are SHA-256 of kg_dev_alice, kg_dev_bob and
-- kg_dev_carol.

SET LOCAL ROLE kg_admin;

INSERT INTO kg.tenants (id, name, slug, subscription_tier, tokens_limit_month, rate_limit_rpm, rate_limit_custom,
                        rate_burst, rate_limit_rph)
VALUES ('00000000-0000-0000-0000-000000000001', 'Development Tenant', 'dev', 'enterprise', 1000000, 1000, true,
        1000, 60000)  -- generous, so that test suites are not throttled
ON CONFLICT DO NOTHING;

INSERT INTO kg.users (id, tenant_id, email, name, role, email_verified)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', 'dev@kgents.local',
        'Developer', 'owner', true)
ON CONFLICT DO NOTHING;

INSERT INTO kg.api_keys (id, tenant_id, user_ref, key_prefix, key_hash, name, scopes, tier_override,
                         requests_per_day, tokens_limit_month)
VALUES
  ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', 'user_alice', 'kg_alice',
   '78d873d604704d61cb530a6c2f86877c5a9d84579ae87757081d13582489babe', 'Alice Dev Key',
   '{read}', 'free', 100, 10000),
  ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'user_bob', 'kg_bob00',
   '8ba14d641577b376b0a0d87b80fb1e3eebd96d7bb6bb0c29b2903abe1dd1cdb9', 'Bob Dev Key',
   '{read,write}', 'pro', 1000, 100000),
  ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000001', 'user_carol', 'kg_carol',
   '3ad9504a6094c5208c9d08a2f8344701c255ee4a92195418a2a55da52c6c140e', 'Carol Dev Key',
   '{read,write,admin,billing}', 'enterprise', 10000, 0)
ON CONFLICT DO NOTHING;
