-- Stripe's events: taken into the ledger once, applied once (events-and-billing.md section 4). kg_control calls the
-- functions and sees no table.

SET LOCAL ROLE kg_owner;

ALTER TABLE kg.stripe_events ADD COLUMN IF NOT EXISTS next_attempt_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX IF NOT EXISTS idx_stripe_events_due ON kg.stripe_events (next_attempt_at) WHERE status = 'received';
CREATE INDEX IF NOT EXISTS idx_stripe_events_ended ON kg.stripe_events (api_created)
  WHERE type = 'customer.subscription.deleted';

ALTER TABLE kg.tenants
  ADD COLUMN IF NOT EXISTS payment_event_at timestamptz,  -- creation time of the last applied event of an invoice
  ADD COLUMN IF NOT EXISTS grace_until timestamptz;       -- of a tenant that is past due

GRANT CREATE ON SCHEMA kg TO kg_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON kg.stripe_events TO kg_definer;
SET LOCAL ROLE kg_definer;

-- True when there is work to do: the event is new, or it had failed for good and is sent again.
CREATE OR REPLACE FUNCTION kg.record_stripe_event(p_event text, p_type text, p_created bigint, p_payload text)
  RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH kept AS (
    INSERT INTO kg.stripe_events AS e (event_id, type, api_created, payload)
    VALUES (p_event, p_type, to_timestamp(p_created), p_payload::jsonb)
    ON CONFLICT (event_id) DO UPDATE SET status = 'received', attempts = 0, next_attempt_at = now()
     WHERE e.status = 'failed'
    RETURNING 1)
  SELECT EXISTS (SELECT FROM kept)
$$;

-- In Stripe's order as far as it is known. Nothing is marked: apply_stripe_event locks what it applies.
CREATE OR REPLACE FUNCTION kg.due_stripe_events(p_limit integer)
  RETURNS TABLE (event_id text, payload text, attempts integer)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  SELECT due.event_id, due.payload::text, due.attempts
    FROM (SELECT * FROM kg.stripe_events WHERE status = 'received' AND next_attempt_at <= now()
           ORDER BY next_attempt_at LIMIT p_limit) due
   ORDER BY due.api_created, due.received_at
$$;

-- Puts an attempt off, by a pause that grows; true when there have been all of them and it has failed.
CREATE OR REPLACE FUNCTION kg.put_off_stripe_event(p_event text, p_error text) RETURNS boolean
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH pause AS (
    SELECT event_id, (ARRAY['1 minute', '5 minutes', '30 minutes', '2 hours', '6 hours']::interval[])[attempts + 1] AS time
      FROM kg.stripe_events WHERE event_id = p_event AND status = 'received' FOR UPDATE),
  put_off AS (
    UPDATE kg.stripe_events e
       SET attempts = e.attempts + 1, last_error = left(p_error, 1000),
           status = CASE WHEN pause.time IS NULL THEN 'failed' ELSE 'received' END,
           next_attempt_at = now() + coalesce(pause.time, '0')
      FROM pause WHERE e.event_id = pause.event_id
    RETURNING e.status)
  SELECT coalesce((SELECT status = 'failed' FROM put_off), false)
$$;

-- The tenant that an event is about: whom the customer belongs to, else the one that our own metadata names, which is
-- then given the customer if it has none. A customer is never moved from one tenant to another.
CREATE OR REPLACE FUNCTION kg.tenant_of_stripe_event(p_customer text, p_named uuid) RETURNS uuid
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  target uuid := kg.tenant_for_stripe_customer(p_customer);
BEGIN
  IF target IS NOT NULL OR p_named IS NULL THEN
    RETURN target;
  END IF;
  UPDATE kg.tenants SET stripe_customer_id = coalesce(stripe_customer_id, p_customer)
   WHERE id = p_named AND deleted_at IS NULL
     -- A deleted tenant keeps its customer, and the column is unique.
     AND NOT EXISTS (SELECT FROM kg.tenants other WHERE other.stripe_customer_id = p_customer)
   RETURNING id INTO target;
  RETURN target;
END $$;

-- What an event does to its tenant; false when it is older than what has been applied, or of another subscription.
-- Seconds are Stripe's resolution, so ties are told apart by what can only come first or last.
CREATE OR REPLACE FUNCTION kg.apply_stripe_effect(
    p_effect text, p_type text, p_tenant uuid, p_subscription text, p_tier text, p_status text,
    p_period_end timestamptz, p_created timestamptz) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  tenant kg.tenants;
  in_force boolean;  -- the event is of the subscription in force, or there is none
BEGIN
  SELECT * INTO tenant FROM kg.tenants WHERE id = p_tenant AND deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  in_force := coalesce(tenant.stripe_subscription_id = p_subscription, true);
  IF tenant.subscription_status = 'canceled' THEN
    p_status := NULL;  -- an operator closed the account, and only an operator opens it
  END IF;

  CASE p_effect
  WHEN 'link' THEN
    UPDATE kg.tenants SET stripe_subscription_id = p_subscription
     WHERE id = p_tenant AND stripe_subscription_id IS NULL AND p_subscription IS NOT NULL
       AND coalesce(billing_event_at <= p_created, true);
    RETURN true;

  WHEN 'subscription' THEN
    IF p_created < tenant.billing_event_at
        OR (NOT in_force AND coalesce(p_status, '') NOT IN ('active', 'trialing'))
        OR (p_created = tenant.billing_event_at AND (
              (tenant.stripe_subscription_id = p_subscription AND p_type = 'customer.subscription.created')
              OR EXISTS (SELECT FROM kg.stripe_events e
                          WHERE e.type = 'customer.subscription.deleted' AND e.api_created = p_created
                            AND e.status = 'done' AND e.payload #>> '{data,object,id}' = p_subscription))) THEN
      RETURN false;
    END IF;
    PERFORM kg.apply_subscription(p_tenant, p_tier, p_status, p_subscription, p_period_end, p_created);

  WHEN 'ended' THEN
    IF NOT in_force OR p_created < tenant.billing_event_at THEN
      RETURN false;
    END IF;
    PERFORM kg.apply_subscription(p_tenant, 'free', p_status, NULL, NULL, p_created);
    UPDATE kg.tenants SET stripe_subscription_id = NULL, current_period_end = NULL WHERE id = p_tenant;

  WHEN 'customer_gone' THEN
    IF p_created >= tenant.billing_event_at OR tenant.billing_event_at IS NULL THEN
      PERFORM kg.apply_subscription(p_tenant, 'free', p_status, NULL, NULL, p_created);
    END IF;
    UPDATE kg.tenants SET stripe_subscription_id = NULL, current_period_end = NULL, stripe_customer_id = NULL
     WHERE id = p_tenant;

  WHEN 'paid', 'payment_failed' THEN
    IF NOT in_force OR p_created < greatest(tenant.billing_event_at, tenant.payment_event_at) THEN
      RETURN false;
    END IF;
    UPDATE kg.tenants
       SET payment_event_at = p_created,
           subscription_status = CASE
             WHEN p_effect = 'paid' AND subscription_status = 'past_due' THEN 'active'
             -- A first payment that fails costs a tenant of the free tier nothing.
             WHEN p_effect = 'payment_failed' AND subscription_status = 'active' AND subscription_tier <> 'free'
               THEN 'past_due'
             ELSE subscription_status END
     WHERE id = p_tenant;
  END CASE;

  UPDATE kg.tenants
     SET grace_until = CASE WHEN subscription_status = 'past_due' THEN p_created + interval '7 days' END
   WHERE id = p_tenant AND (subscription_status = 'past_due') <> (grace_until IS NOT NULL);
  RETURN true;
END $$;

-- The whole of an event in one transaction: the tenant, the metering event, the ledger. Whoever holds the row applies it;
-- to all others it is `taken`. `unlinked`: no tenant has the customer yet, so it is put off, and after the last attempt
-- `failed`, metered under the customer's id. `stale`: it changed nothing of its tenant.
CREATE OR REPLACE FUNCTION kg.apply_stripe_event(
    p_event text, p_effect text, p_customer text, p_named uuid, p_subscription text, p_tier text, p_status text,
    p_period_end bigint, p_metered_id text, p_metered_type text, p_metered_data text) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
DECLARE
  event kg.stripe_events;
  target uuid;
  result text := 'done';
BEGIN
  SELECT * INTO event FROM kg.stripe_events WHERE event_id = p_event AND status = 'received' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN 'taken';
  END IF;
  IF p_effect <> 'none' THEN
    target := kg.tenant_of_stripe_event(p_customer, p_named);
    IF target IS NULL AND p_effect NOT IN ('customer', 'customer_gone') THEN
      result := CASE WHEN kg.put_off_stripe_event(p_event, 'no tenant has the customer ' || p_customer)
                     THEN 'failed' ELSE 'unlinked' END;
    ELSIF target IS NOT NULL AND p_effect <> 'customer' AND NOT kg.apply_stripe_effect(
        p_effect, event.type, target, p_subscription, p_tier, p_status, to_timestamp(p_period_end),
        event.api_created) THEN
      result := 'stale';
    END IF;
  END IF;
  IF p_metered_id IS NOT NULL AND result <> 'unlinked' THEN
    PERFORM kg.queue_billing_event(p_metered_id, target, p_metered_type, coalesce(target::text, p_customer),
                                   event.api_created, p_metered_data::jsonb);
  END IF;
  IF result IN ('done', 'stale') THEN
    UPDATE kg.stripe_events
       SET status = CASE WHEN p_effect = 'none' THEN 'ignored' ELSE 'done' END, tenant_id = target,
           attempts = attempts + 1, processed_at = now(),
           last_error = CASE WHEN result = 'stale' THEN 'older than what had been applied' END
     WHERE event_id = p_event;
  END IF;
  RETURN result;
END $$;

-- After a customer was made for a tenant: the one that counts from now on, which is the first.
CREATE OR REPLACE FUNCTION kg.adopt_stripe_customer(p_tenant uuid, p_customer text) RETURNS text
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  UPDATE kg.tenants SET stripe_customer_id = coalesce(stripe_customer_id, p_customer)
   WHERE id = p_tenant AND deleted_at IS NULL
   RETURNING stripe_customer_id
$$;

-- What has been settled for 90 days; Stripe redelivers for three.
CREATE OR REPLACE FUNCTION kg.trim_stripe_events(p_limit integer) RETURNS bigint
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, kg AS $$
  WITH gone AS (
    DELETE FROM kg.stripe_events WHERE event_id IN (
      SELECT event_id FROM kg.stripe_events
       WHERE status IN ('done', 'ignored', 'failed') AND received_at < now() - interval '90 days'
       LIMIT p_limit FOR UPDATE SKIP LOCKED)
    RETURNING 1)
  SELECT count(*) FROM gone
$$;

GRANT EXECUTE ON FUNCTION kg.record_stripe_event(text, text, bigint, text), kg.due_stripe_events(integer),
  kg.put_off_stripe_event(text, text),
  kg.apply_stripe_event(text, text, text, uuid, text, text, text, bigint, text, text, text),
  kg.adopt_stripe_customer(uuid, text), kg.trim_stripe_events(integer) TO kg_control;

SET LOCAL ROLE kg_owner;
REVOKE CREATE ON SCHEMA kg FROM kg_definer;
