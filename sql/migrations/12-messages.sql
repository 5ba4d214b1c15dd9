SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.messages (
  id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id      uuid NOT NULL,
  tenant_id       uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  role            text NOT NULL CONSTRAINT valid_role CHECK (role IN ('user', 'assistant', 'system', 'tool')),
  content         text NOT NULL,
  tokens_in       integer NOT NULL DEFAULT 0 CONSTRAINT valid_tokens_in CHECK (tokens_in >= 0),
  tokens_out      integer NOT NULL DEFAULT 0 CONSTRAINT valid_tokens_out CHECK (tokens_out >= 0),
  model           text,
  latency_ms      integer,
  agentese_path   text,
  agentese_result jsonb,
  created_at      timestamptz NOT NULL DEFAULT now(),
  -- now() stands still inside a transaction; this does not.
  seq             bigint GENERATED ALWAYS AS IDENTITY,
  -- Both columns: foreign key checks ignore RLS, so the session's id alone would accept another tenant's session.
  CONSTRAINT messages_session_fkey FOREIGN KEY (tenant_id, session_id)
    REFERENCES kg.sessions (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS idx_messages_session ON kg.messages (session_id, seq);
-- No index on tenant_id alone, as for sessions: a session's messages would be looked for among all of the tenant's.

CREATE OR REPLACE TRIGGER messages_outbox_trigger AFTER INSERT OR UPDATE OR DELETE ON kg.messages
  FOR EACH ROW EXECUTE FUNCTION kg.outbox_trigger('chunk_ends');

ALTER TABLE kg.messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.messages FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS messages_tenant_isolation ON kg.messages;
CREATE POLICY messages_tenant_isolation ON kg.messages FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
