-- What is read when a session comes into memory. Functions for the same reason as in 19: their plans are cached. Unnamed
-- statements were planned anew for each session, which cost four fifths of the time when thousands came at once, after the
-- crash of a node.

SET LOCAL ROLE kg_owner;

-- The session and where its history ends: the newest turn that has ended, with as many chunks as a replay shows: those of
-- the message, or the durable ones up to the first hole.
CREATE OR REPLACE FUNCTION kg.session_state(p_session uuid)
  RETURNS TABLE (id uuid, tenant_id uuid, title text, agent_type text, status text, context jsonb, message_count integer,
                 tokens_used bigint, created_at timestamptz, last_turn uuid, last_epoch bigint, last_chunks bigint)
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT s.id, s.tenant_id, s.title, s.agent_type, s.status, s.context, s.message_count, s.tokens_used, s.created_at,
         last.id, last.epoch, last.chunks
    FROM kg.sessions s
    LEFT JOIN LATERAL (
      SELECT t.id, t.epoch,
             CASE WHEN m.id IS NOT NULL THEN coalesce(cardinality(m.chunk_ends), 0)::bigint
                  ELSE (SELECT count(*)
                          FROM (SELECT index, row_number() OVER (ORDER BY index) - 1 AS place
                                  FROM kg.turn_chunks WHERE turn_id = t.id) numbered
                         WHERE index = place) END AS chunks
        FROM kg.turns t LEFT JOIN kg.messages m ON m.id = t.answer_id
       WHERE t.session_id = s.id AND t.status NOT IN ('queued', 'running')
       ORDER BY t.seq DESC LIMIT 1) last ON true
   WHERE s.id = p_session AND s.deleted_at IS NULL;
END $$;

-- Its turns that have not ended, in their order, with the durable part of each answer up to the first hole: its text, and
-- the bytes of each chunk.
CREATE OR REPLACE FUNCTION kg.unfinished_turns_of(p_session uuid)
  RETURNS TABLE (id uuid, seq bigint, status text, message_id uuid, answer_id uuid, content text, mode text, budget text,
                 on_disconnect text, api_key_id uuid, epoch bigint, answer text, lengths text)
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, kg AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT t.id, t.seq, t.status, t.message_id, t.answer_id, m.content, t.mode, t.budget, t.on_disconnect, t.api_key_id,
         t.epoch, durable.text, durable.lengths
    FROM kg.turns t
    JOIN kg.messages m ON m.id = t.message_id
    CROSS JOIN LATERAL (
      SELECT string_agg(text, '' ORDER BY index) AS text,
             string_agg(octet_length(text)::text, ',' ORDER BY index) AS lengths
        FROM (SELECT index, text, row_number() OVER (ORDER BY index) - 1 AS place
                FROM kg.turn_chunks WHERE turn_id = t.id) numbered
       WHERE index = place) durable
   WHERE t.session_id = p_session AND t.status IN ('queued', 'running')
   ORDER BY t.seq;
END $$;

GRANT EXECUTE ON FUNCTION kg.session_state(uuid), kg.unfinished_turns_of(uuid) TO kg_app;
