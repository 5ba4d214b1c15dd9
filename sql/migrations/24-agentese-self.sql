-- What the context `self` keeps of its tenant beside memories.

SET LOCAL ROLE kg_owner;

-- Small things by name: capabilities, thresholds and expectations of an observer, the mode of a user's soul.
CREATE TABLE IF NOT EXISTS kg.agentese_self (
  tenant_id  uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  name       text NOT NULL,
  value      jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, name)
);

-- Checkpoints of self.state and self.memory, numbered from 1 for each.
CREATE TABLE IF NOT EXISTS kg.agentese_checkpoints (
  tenant_id uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  subject   text NOT NULL CONSTRAINT valid_subject CHECK (subject IN ('state', 'memory')),
  number    bigint NOT NULL,
  label     text NOT NULL,
  content   jsonb NOT NULL,
  taken_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, subject, number)
);

-- Decisions that a person is asked for (self.semaphore, world.purgatory).
CREATE TABLE IF NOT EXISTS kg.agentese_tokens (
  tenant_id    uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  token_id     uuid NOT NULL,
  reason       text NOT NULL,
  prompt       text NOT NULL,
  options      jsonb NOT NULL DEFAULT '[]',
  severity     text NOT NULL CONSTRAINT valid_severity CHECK (severity IN ('info', 'warning', 'critical')),
  deadline     timestamptz,
  escalation   text,
  asked_by     text NOT NULL,
  human_input  jsonb,
  created_at   timestamptz NOT NULL DEFAULT now(),
  resolved_at  timestamptz,
  cancelled_at timestamptz,
  voided_at    timestamptz,
  PRIMARY KEY (tenant_id, token_id),
  CONSTRAINT one_end CHECK (num_nonnulls(resolved_at, cancelled_at, voided_at) <= 1)
);
CREATE INDEX IF NOT EXISTS idx_agentese_tokens_age ON kg.agentese_tokens (tenant_id, created_at);

-- A tenant's aliases beside the standard ones; no target: the standard alias of this name is not wanted.
CREATE TABLE IF NOT EXISTS kg.agentese_aliases (
  tenant_id  uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  name       text NOT NULL,
  target     text,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, name)
);

-- self.soul.chat: one conversation for each user of a tenant. What has left the window is in its summary.
CREATE TABLE IF NOT EXISTS kg.agentese_chats (
  tenant_id  uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  who        text NOT NULL,
  turns      bigint NOT NULL DEFAULT 0,
  summary    text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, who)
);
CREATE TABLE IF NOT EXISTS kg.agentese_chat_lines (
  tenant_id uuid NOT NULL,
  who       text NOT NULL,
  turn      bigint NOT NULL,
  role      text NOT NULL CONSTRAINT valid_role CHECK (role IN ('user', 'assistant')),
  content   text NOT NULL,
  said_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, who, turn, role),
  CONSTRAINT chat_lines_chat_fkey FOREIGN KEY (tenant_id, who) REFERENCES kg.agentese_chats ON DELETE CASCADE
);

ALTER TABLE kg.agentese_self ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_self FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_self_tenant_isolation ON kg.agentese_self;
CREATE POLICY agentese_self_tenant_isolation ON kg.agentese_self FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_checkpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_checkpoints FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_checkpoints_tenant_isolation ON kg.agentese_checkpoints;
CREATE POLICY agentese_checkpoints_tenant_isolation ON kg.agentese_checkpoints FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_tokens FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_tokens_tenant_isolation ON kg.agentese_tokens;
CREATE POLICY agentese_tokens_tenant_isolation ON kg.agentese_tokens FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_aliases ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_aliases FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_aliases_tenant_isolation ON kg.agentese_aliases;
CREATE POLICY agentese_aliases_tenant_isolation ON kg.agentese_aliases FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_chats ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_chats FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_chats_tenant_isolation ON kg.agentese_chats;
CREATE POLICY agentese_chats_tenant_isolation ON kg.agentese_chats FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));
ALTER TABLE kg.agentese_chat_lines ENABLE ROW LEVEL SECURITY;
ALTER TABLE kg.agentese_chat_lines FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agentese_chat_lines_tenant_isolation ON kg.agentese_chat_lines;
CREATE POLICY agentese_chat_lines_tenant_isolation ON kg.agentese_chat_lines FOR ALL TO kg_app
  USING (tenant_id = (SELECT kg.current_tenant_id()))
  WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()));

GRANT SELECT, INSERT, DELETE
  ON kg.agentese_self, kg.agentese_checkpoints, kg.agentese_tokens, kg.agentese_aliases, kg.agentese_chats,
     kg.agentese_chat_lines TO kg_app;
GRANT UPDATE (value, updated_at) ON kg.agentese_self TO kg_app;
GRANT UPDATE (human_input, resolved_at, cancelled_at, voided_at) ON kg.agentese_tokens TO kg_app;
GRANT UPDATE (target, updated_at) ON kg.agentese_aliases TO kg_app;
GRANT UPDATE (turns, summary, updated_at) ON kg.agentese_chats TO kg_app;
