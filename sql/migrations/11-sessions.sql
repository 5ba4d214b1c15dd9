SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.sessions (
  id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id       uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  user_id         uuid,
  title           text,
  agent_type      text NOT NULL DEFAULT 'kgent' CONSTRAINT valid_agent_type CHECK (
                    agent_type IN ('kgent', 'agentese', 'custom')),
  status          text NOT NULL DEFAULT 'active' CONSTRAINT valid_status CHECK (
                    status IN ('active', 'archived', 'closed', 'deleted')),
  context         jsonb NOT NULL DEFAULT '{}',
  message_count   integer NOT NULL DEFAULT 0,
  tokens_used     bigint NOT NULL DEFAULT 0,
  last_message_at timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  deleted_at      timestamptz,
  CONSTRAINT sessions_tenant_key UNIQUE (tenant_id, id),
  CONSTRAINT sessions_user_fkey FOREIGN KEY (tenant_id, user_id)
    REFERENCES kg.users (tenant_id, id) ON DELETE SET NULL (user_id)
) WITH (fillfactor = 70);  -- the counters change twice a turn: room for heap-only updates

-- No index on tenant_id alone: the planner would take it for a session by its id, since policies ask for the tenant too,
-- and read all sessions of the tenant. idx_sessions_recent begins with the tenant.
CREATE INDEX IF NOT EXISTS idx_sessions_user ON kg.sessions (user_id) WHERE user_id IS NOT NULL;
-- Lists are newest first by creation. Not by last_message_at: an index on it would be rewritten with every message.
CREATE INDEX IF NOT EXISTS idx_sessions_recent ON kg.sessions (tenant_id, created_at DESC, id)
  WHERE deleted_at IS NULL;

CREATE OR REPLACE TRIGGER sessions_updated_at BEFORE UPDATE ON kg.sessions
  FOR EACH ROW EXECUTE FUNCTION kg.update_updated_at();
DROP TRIGGER IF EXISTS sessions_outbox_trigger ON kg.sessions;
CREATE TRIGGER sessions_outbox_trigger AFTER INSERT OR DELETE ON kg.sessions
  FOR EACH ROW EXECUTE FUNCTION kg.outbox_trigger();
-- The counters follow from messages, which have events of their own.
DROP TRIGGER IF EXISTS sessions_outbox_update_trigger ON kg.sessions;
CREATE TRIGGER sessions_outbox_update_trigger AFTER UPDATE ON kg.sessions
  FOR EACH ROW WHEN (
    (OLD.user_id, OLD.title, OLD.agent_type, OLD.status, OLD.context, OLD.deleted_at)
      IS DISTINCT FROM (NEW.user_id, NEW.title, NEW.agent_type, NEW.status, NEW.context, NEW.deleted_at))
  EXECUTE FUNCTION kg.outbox_trigger();

ALTER TABLE kg.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.sessions FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS sessions_tenant_isolation ON kg.sessions;
CREATE POLICY sessions_tenant_isolation ON kg.sessions FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
