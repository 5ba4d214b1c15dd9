-- The context void: the pool of entropy, the ledger of capital, the metabolism and the dreams of a tenant.
--
-- Amounts are integers of 1e-9, so that sums are exact. Every change of an amount happens under the lock of one row (its
-- pool's, its agent's), so any number of callers end right, whichever actor sends them.
--
-- Functions are plpgsql for the same reason as in 19: their plans are cached. They have the caller's rights.

SET LOCAL ROLE kg_owner;

CREATE TABLE IF NOT EXISTS kg.agentese_entropy (
  tenant_id uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  pool      text NOT NULL,  -- '': the tenant's
  remaining bigint NOT NULL CONSTRAINT valid_remaining CHECK (remaining BETWEEN 0 AND 100000000000),
  moves     bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, pool)
) WITH (fillfactor = 50);

-- The newest 1,000 moves of a pool.
CREATE TABLE IF NOT EXISTS kg.agentese_entropy_history (
  tenant_id  uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  pool       text NOT NULL,
  seq        bigint NOT NULL,
  action     text NOT NULL,
  amount     bigint NOT NULL CONSTRAINT valid_amount CHECK (amount >= 0),
  seed       double precision,
  remaining  bigint NOT NULL,
  unused     uuid,  -- what was drawn may be poured back once under this name
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, pool, seq)
);
CREATE UNIQUE INDEX IF NOT EXISTS idx_agentese_entropy_unused ON kg.agentese_entropy_history (tenant_id, unused)
  WHERE unused IS NOT NULL;

-- What was taken before an invocation, to be given back if it fails: the newest 10,000.
CREATE TABLE IF NOT EXISTS kg.agentese_entropy_charges (
  tenant_id uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  charge    text NOT NULL,
  seq       bigint NOT NULL,  -- of its move
  amount    bigint NOT NULL,
  refunded  boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, charge)
);
CREATE INDEX IF NOT EXISTS idx_agentese_entropy_charges_age ON kg.agentese_entropy_charges (tenant_id, seq);

-- Balances are never stored: they are the sums of the ledger.
CREATE TABLE IF NOT EXISTS kg.agentese_capital_agents (
  tenant_id uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  agent     text NOT NULL,
  last_seq  bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, agent)
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS kg.agentese_capital (
  tenant_id  uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  agent      text NOT NULL,
  seq        bigint NOT NULL,
  event_type text NOT NULL CONSTRAINT valid_event_type CHECK (
               event_type IN ('ISSUE', 'CREDIT', 'DEBIT', 'BYPASS', 'DECAY', 'POTLATCH')),
  amount     bigint NOT NULL CONSTRAINT valid_amount CHECK (amount >= 0),
  metadata   jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, agent, seq)
);

-- Tokens that let their bearer pass one check, once; only their hashes are kept.
CREATE TABLE IF NOT EXISTS kg.agentese_bypasses (
  tenant_id   uuid NOT NULL REFERENCES kg.tenants (id) ON DELETE CASCADE,
  token_hash  text NOT NULL,
  agent       text NOT NULL,
  check_name  text NOT NULL,
  cost        bigint NOT NULL,
  expires_at  timestamptz NOT NULL,
  redeemed_at timestamptz,
  PRIMARY KEY (tenant_id, token_hash)
);

CREATE TABLE IF NOT EXISTS kg.agentese_metabolism (
  tenant_id   uuid PRIMARY KEY REFERENCES kg.tenants (id) ON DELETE CASCADE,
  pressure    double precision NOT NULL,
  in_fever    boolean NOT NULL,
  intensity   double precision NOT NULL,  -- of the last fever: the pressure that broke
  fevers      bigint NOT NULL,
  settled_to  timestamptz NOT NULL  -- usage up to then is in `pressure`
);
-- The tokens of a tenant's last minutes; rows that cost none are the most.
CREATE INDEX IF NOT EXISTS idx_usage_metabolism ON kg.usage_events (tenant_id, created_at)
  WHERE tokens_in > 0 OR tokens_out > 0;

CREATE TABLE IF NOT EXISTS kg.agentese_dreams (
  tenant_id    uuid PRIMARY KEY REFERENCES kg.tenants (id) ON DELETE CASCADE,
  last_message bigint NOT NULL,  -- seq of the newest that was dreamt of
  cycles       bigint NOT NULL,
  confidence   jsonb NOT NULL,   -- what the cycles have added to the confidence of each axis
  report       jsonb NOT NULL,   -- of the last cycle
  dreamt_at    timestamptz NOT NULL
);

DO $isolation$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY[
    'agentese_entropy', 'agentese_entropy_history', 'agentese_entropy_charges', 'agentese_capital_agents',
    'agentese_capital', 'agentese_bypasses', 'agentese_metabolism', 'agentese_dreams']
  LOOP
    EXECUTE format('ALTER TABLE kg.%I ENABLE ROW LEVEL SECURITY', v_table);
    EXECUTE format('ALTER TABLE kg.%I FORCE ROW LEVEL SECURITY', v_table);
    EXECUTE format('DROP POLICY IF EXISTS %I ON kg.%I', v_table || '_tenant_isolation', v_table);
    EXECUTE format('CREATE POLICY %I ON kg.%I FOR ALL TO kg_app USING (tenant_id = (SELECT kg.current_tenant_id()))'
                   ' WITH CHECK (tenant_id = (SELECT kg.current_tenant_id()))', v_table || '_tenant_isolation', v_table);
  END LOOP;
END
$isolation$;

GRANT SELECT, INSERT, UPDATE (remaining, moves) ON kg.agentese_entropy TO kg_app;
GRANT SELECT, INSERT, DELETE, UPDATE (unused) ON kg.agentese_entropy_history TO kg_app;
GRANT SELECT, INSERT, DELETE, UPDATE (seq, refunded) ON kg.agentese_entropy_charges TO kg_app;
GRANT SELECT, INSERT, UPDATE (last_seq) ON kg.agentese_capital_agents TO kg_app;
GRANT SELECT, INSERT, DELETE ON kg.agentese_capital TO kg_app;
GRANT SELECT, INSERT, DELETE, UPDATE (redeemed_at) ON kg.agentese_bypasses TO kg_app;
GRANT SELECT, INSERT, UPDATE (pressure, in_fever, intensity, fevers, settled_to) ON kg.agentese_metabolism TO kg_app;
GRANT SELECT, INSERT, UPDATE (last_message, cycles, confidence, report, dreamt_at) ON kg.agentese_dreams TO kg_app;

-- Changes a pool by p_change, up to its cap of 100; NULL changed, and nothing done, when less than that remains.
CREATE OR REPLACE FUNCTION kg.entropy_move(
    p_pool text, p_action text, p_amount bigint, p_change bigint, p_seed double precision, p_unused uuid)
  RETURNS TABLE (changed bigint, remaining bigint, moves bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_cap CONSTANT bigint := 100000000000;
  v_tenant uuid := kg.current_tenant_id();
  v_before bigint;
BEGIN
  INSERT INTO kg.agentese_entropy (tenant_id, pool, remaining) VALUES (v_tenant, p_pool, v_cap) ON CONFLICT DO NOTHING;
  SELECT e.remaining, e.moves INTO v_before, moves FROM kg.agentese_entropy e
   WHERE e.tenant_id = v_tenant AND e.pool = p_pool FOR NO KEY UPDATE;
  IF v_before + p_change < 0 THEN
    remaining := v_before;
    RETURN NEXT;
    RETURN;
  END IF;
  remaining := least(v_before + p_change, v_cap);
  changed := remaining - v_before;
  moves := moves + 1;
  UPDATE kg.agentese_entropy e SET remaining = entropy_move.remaining, moves = entropy_move.moves
   WHERE e.tenant_id = v_tenant AND e.pool = p_pool;
  INSERT INTO kg.agentese_entropy_history (tenant_id, pool, seq, action, amount, seed, remaining, unused)
  VALUES (v_tenant, p_pool, entropy_move.moves, p_action, p_amount, p_seed, entropy_move.remaining, p_unused);
  DELETE FROM kg.agentese_entropy_history h
   WHERE h.tenant_id = v_tenant AND h.pool = p_pool AND h.seq <= entropy_move.moves - 1000;
  RETURN NEXT;
END $$;

-- Gives half of an amount back: that of a draw whose name was not used yet, or any. NULL returned: no such draw.
CREATE OR REPLACE FUNCTION kg.entropy_pour(p_pool text, p_amount bigint, p_unused uuid)
  RETURNS TABLE (returned bigint, recovered bigint, remaining bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  returned := p_amount;
  IF p_unused IS NOT NULL THEN
    -- The pool's lock first, as in entropy_move.
    PERFORM FROM kg.agentese_entropy e
      WHERE e.tenant_id = kg.current_tenant_id() AND e.pool = p_pool FOR NO KEY UPDATE;
    returned := NULL;
    UPDATE kg.agentese_entropy_history h SET unused = NULL
     WHERE h.tenant_id = kg.current_tenant_id() AND h.pool = p_pool AND h.unused = p_unused
    RETURNING h.amount INTO returned;
    IF returned IS NULL THEN
      RETURN NEXT;
      RETURN;
    END IF;
  END IF;
  SELECT m.changed, m.remaining INTO recovered, remaining
    FROM kg.entropy_move(p_pool, 'pour', returned, returned / 2, NULL, NULL) m;
  RETURN NEXT;
END $$;

-- Takes an amount under a name, once: 'charged', 'repeated' (before, under this name) or 'exhausted'.
CREATE OR REPLACE FUNCTION kg.entropy_charge(p_pool text, p_charge text, p_amount bigint)
  RETURNS TABLE (outcome text, remaining bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := kg.current_tenant_id();
  v_move record;
BEGIN
  -- Whoever comes second under a name waits here for the first to commit.
  INSERT INTO kg.agentese_entropy_charges (tenant_id, charge, seq, amount) VALUES (v_tenant, p_charge, 0, p_amount)
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    outcome := 'repeated';
    SELECT e.remaining INTO remaining FROM kg.agentese_entropy e WHERE e.tenant_id = v_tenant AND e.pool = p_pool;
    RETURN NEXT;
    RETURN;
  END IF;
  SELECT * INTO v_move FROM kg.entropy_move(p_pool, 'charge', p_amount, -p_amount, NULL, NULL);
  remaining := v_move.remaining;
  IF v_move.changed IS NULL THEN
    outcome := 'exhausted';
    DELETE FROM kg.agentese_entropy_charges c WHERE c.tenant_id = v_tenant AND c.charge = p_charge;
    RETURN NEXT;
    RETURN;
  END IF;
  outcome := 'charged';
  UPDATE kg.agentese_entropy_charges c SET seq = v_move.moves WHERE c.tenant_id = v_tenant AND c.charge = p_charge;
  DELETE FROM kg.agentese_entropy_charges c
   WHERE c.tenant_id = v_tenant AND c.seq > 0 AND c.seq <= v_move.moves - 10000;
  RETURN NEXT;
END $$;

-- Gives a charge back, once. NULL refunded: there is none, or it has been given back.
CREATE OR REPLACE FUNCTION kg.entropy_refund(p_pool text, p_charge text)
  RETURNS TABLE (refunded bigint, remaining bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  UPDATE kg.agentese_entropy_charges c SET refunded = true
   WHERE c.tenant_id = kg.current_tenant_id() AND c.charge = p_charge AND NOT c.refunded
  RETURNING c.amount INTO refunded;
  IF refunded IS NULL THEN
    RETURN NEXT;
    RETURN;
  END IF;
  SELECT m.remaining INTO remaining FROM kg.entropy_move(p_pool, 'refund', refunded, refunded, NULL, NULL) m;
  RETURN NEXT;
END $$;

-- What an agent has: between 0 and 1, half to begin with.
CREATE OR REPLACE FUNCTION kg.capital_balance(p_agent text) RETURNS bigint
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, kg AS $$
DECLARE
  v_sum bigint;
BEGIN
  SELECT coalesce(sum(CASE WHEN event_type IN ('ISSUE', 'CREDIT') THEN amount ELSE -amount END), 0) INTO v_sum
    FROM kg.agentese_capital WHERE tenant_id = kg.current_tenant_id() AND agent = p_agent;
  RETURN greatest(0, least(1000000000, 500000000 + v_sum));
END $$;

-- Writes into an agent's ledger. False appended: it has less than the amount. p_amount NULL: one per cent of the balance.
--
-- Of a ledger longer than 10,000 events the oldest become one, of their sum, so balances stay what they are.
CREATE OR REPLACE FUNCTION kg.capital_append(p_agent text, p_type text, p_amount bigint, p_metadata jsonb)
  RETURNS TABLE (appended boolean, balance bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := kg.current_tenant_id();
  v_adds boolean := p_type IN ('ISSUE', 'CREDIT');
  v_amount bigint := p_amount;
  v_seq bigint;
  v_folded record;
BEGIN
  INSERT INTO kg.agentese_capital_agents AS a (tenant_id, agent) VALUES (v_tenant, p_agent) ON CONFLICT DO NOTHING;
  SELECT a.last_seq + 1 INTO v_seq FROM kg.agentese_capital_agents a
   WHERE a.tenant_id = v_tenant AND a.agent = p_agent FOR NO KEY UPDATE;
  balance := kg.capital_balance(p_agent);
  v_amount := coalesce(v_amount, balance / 100);
  appended := v_adds OR v_amount <= balance;
  IF NOT appended THEN
    RETURN NEXT;
    RETURN;
  END IF;
  UPDATE kg.agentese_capital_agents a SET last_seq = v_seq WHERE a.tenant_id = v_tenant AND a.agent = p_agent;
  INSERT INTO kg.agentese_capital (tenant_id, agent, seq, event_type, amount, metadata)
  VALUES (v_tenant, p_agent, v_seq, p_type, v_amount, coalesce(p_metadata, '{}'));
  IF v_seq % 1000 = 0 AND v_seq > 10000 THEN
    WITH old AS (
      DELETE FROM kg.agentese_capital c
       WHERE c.tenant_id = v_tenant AND c.agent = p_agent AND c.seq <= v_seq - 9000
      RETURNING c.event_type, c.amount, c.created_at)
    SELECT sum(CASE WHEN o.event_type IN ('ISSUE', 'CREDIT') THEN o.amount ELSE -o.amount END) AS net,
           count(*) AS events, max(o.created_at) AS newest INTO v_folded FROM old o;
    INSERT INTO kg.agentese_capital (tenant_id, agent, seq, event_type, amount, metadata, created_at)
    VALUES (v_tenant, p_agent, v_seq - 9000, CASE WHEN v_folded.net >= 0 THEN 'CREDIT' ELSE 'DEBIT' END,
            abs(v_folded.net), jsonb_build_object('folded', v_folded.events), v_folded.newest);
  END IF;
  balance := kg.capital_balance(p_agent);
  RETURN NEXT;
END $$;

-- Pays for a token: 'issued', 'insufficient' or 'full' (1,000 tokens of the tenant are valid and unused).
CREATE OR REPLACE FUNCTION kg.capital_bypass(
    p_agent text, p_check text, p_cost bigint, p_seconds integer, p_hash text)
  RETURNS TABLE (outcome text, balance bigint, expires_at timestamptz)
  LANGUAGE plpgsql SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := kg.current_tenant_id();
  v_paid record;
BEGIN
  DELETE FROM kg.agentese_bypasses b
   WHERE b.tenant_id = v_tenant AND (b.redeemed_at IS NOT NULL OR b.expires_at <= now());
  IF (SELECT count(*) FROM kg.agentese_bypasses b WHERE b.tenant_id = v_tenant) >= 1000 THEN
    outcome := 'full';
    RETURN NEXT;
    RETURN;
  END IF;
  SELECT * INTO v_paid FROM kg.capital_append(p_agent, 'BYPASS', p_cost, jsonb_build_object('check', p_check));
  balance := v_paid.balance;
  IF NOT v_paid.appended THEN
    outcome := 'insufficient';
    RETURN NEXT;
    RETURN;
  END IF;
  outcome := 'issued';
  INSERT INTO kg.agentese_bypasses AS b (tenant_id, token_hash, agent, check_name, cost, expires_at)
  VALUES (v_tenant, p_hash, p_agent, p_check, p_cost, now() + p_seconds * interval '1 second')
  RETURNING b.expires_at INTO expires_at;
  RETURN NEXT;
END $$;

GRANT EXECUTE ON FUNCTION
  kg.entropy_move(text, text, bigint, bigint, double precision, uuid),
  kg.entropy_pour(text, bigint, uuid),
  kg.entropy_charge(text, text, bigint),
  kg.entropy_refund(text, text),
  kg.capital_balance(text),
  kg.capital_append(text, text, bigint, jsonb),
  kg.capital_bypass(text, text, bigint, integer, text)
  TO kg_app;
