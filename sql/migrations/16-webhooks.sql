-- Ledger of Stripe's events: a delivery is answered once it stands here, and applied by a worker.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.stripe_events (
  event_id     text PRIMARY KEY,
  type         text NOT NULL,
  api_created  timestamptz NOT NULL,
  received_at  timestamptz NOT NULL DEFAULT now(),
  tenant_id    uuid,
  status       text NOT NULL DEFAULT 'received' CONSTRAINT valid_status CHECK (
                 status IN ('received', 'processing', 'done', 'ignored', 'failed')),
  attempts     integer NOT NULL DEFAULT 0,
  last_error   text,
  payload      jsonb NOT NULL,
  processed_at timestamptz
);
CREATE INDEX IF NOT EXISTS idx_stripe_events_status ON kg.stripe_events (status, received_at);

ALTER TABLE kg.stripe_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.stripe_events FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS stripe_events_billing ON kg.stripe_events;
CREATE POLICY stripe_events_billing ON kg.stripe_events FOR ALL TO kg_billing USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON kg.stripe_events TO kg_billing;
