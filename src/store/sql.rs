//! Every statement the store runs, one text for both engines; only the claim's lock differs, and `PostgreSQL` tells the
//! time.

/// Makes each statement a constant and lists all of them, so that a test can prepare every one on both engines.
macro_rules! statements {
    ($list:ident: $($name:ident = $text:expr;)*) => {
        $(pub(super) const $name: &str = $text;)*
        /// Name and text of each statement.
        pub const $list: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

/// A list of effects, all columns in the order of their reader.
macro_rules! effects {
    ($which:literal) => {
        concat!(
            "SELECT key, kind, lane, stream, group_key, priority, run_after, state, desired, revision, attempts, ",
            "token, lease_by, lease_until, cancel_at, result, error, created_at, updated_at FROM effects ",
            $which
        )
    };
}

statements! { SHARED:
    // Deliveries.
    DELIVERY_PUT = "INSERT INTO deliveries (source, guid, event, repo, headers, received_at, sha256, size, body) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (source, guid) DO NOTHING RETURNING seq";
    DELIVERY_KNOWN = "SELECT seq, sha256 FROM deliveries WHERE source = $1 AND guid = $2";
    DELIVERY_SEEN = "UPDATE deliveries SET seen = seen + 1 WHERE seq = $1";
    DELIVERY_GET = "SELECT seq, source, guid, event, repo, headers, received_at, size, seen, state, error, body \
        FROM deliveries WHERE seq = $1";
    DELIVERY_LIST = "SELECT seq, source, guid, event, repo, headers, received_at, size, seen, state, error, NULL \
        FROM deliveries WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
    DELIVERY_STATE = "UPDATE deliveries SET state = $2, error = $3 WHERE seq = $1";
    DELIVERY_FORGET = "UPDATE deliveries SET body = NULL WHERE seq IN (SELECT seq FROM deliveries \
        WHERE body IS NOT NULL AND state IN ('done', 'ignored') AND received_at < $1 ORDER BY seq LIMIT $2)";
    DELIVERY_COUNTS = "SELECT state, CAST(count(*) AS BIGINT) FROM deliveries \
        WHERE state IN ('new', 'poison') GROUP BY state ORDER BY state";

    // Streams. The first reads version, head and facts at once: two reads would lose a wake-up.
    STREAM_READ = "SELECT s.version, s.head, e.seq, e.version, e.kind, e.release, e.data, e.actor, e.cause, e.at, e.hash \
        FROM streams s LEFT JOIN (SELECT seq, stream, version, kind, release, data, actor, cause, at, hash FROM events \
        WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3) e ON e.stream = s.stream \
        WHERE s.stream = $1 ORDER BY e.version";
    STREAM_HEAD = "SELECT version, head FROM streams WHERE stream = $1";
    STREAM_OPEN = "INSERT INTO streams (stream, version, head) VALUES ($1, $2, $3) ON CONFLICT (stream) DO NOTHING";
    STREAM_MOVE = "UPDATE streams SET version = $3, head = $4 WHERE stream = $1 AND version = $2";
    STREAM_LIST = "SELECT stream, version, head FROM streams WHERE stream > $1 ORDER BY stream LIMIT $2";
    EVENT_PUT = "INSERT INTO events (stream, version, kind, release, data, actor, cause, at, hash) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING seq";
    EVENTS_ALL = "SELECT stream, seq, version, kind, release, data, actor, cause, at, hash FROM events \
        WHERE seq > $1 AND (release = $2 OR $2 IS NULL) AND (kind = $3 OR $3 IS NULL) ORDER BY seq LIMIT $4";
    EVENTS_OF = "SELECT stream, seq, version, kind, release, data, actor, cause, at, hash FROM events \
        WHERE seq > $1 AND (release = $2 OR $2 IS NULL) AND (kind = $3 OR $3 IS NULL) AND stream = $5 \
        ORDER BY seq LIMIT $4";
    EVENTS_HEAD = "SELECT max(seq) FROM events";
    EVENTS_STRAY = "SELECT e.stream, e.version FROM events e WHERE NOT EXISTS \
        (SELECT 1 FROM streams s WHERE s.stream = e.stream AND s.version >= e.version) ORDER BY e.seq LIMIT 1";

    // Effects. A claim, a completion and a retry all set `rank`, the due time moved forward by the priority:
    // everything ages at the same pace, so the order never has to be computed again.
    EFFECT_OWE = "INSERT INTO effects \
        (key, kind, lane, stream, group_key, priority, due, run_after, rank, created_at, updated_at, desired) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $9, $10) ON CONFLICT (key) DO UPDATE SET \
        desired = excluded.desired, priority = excluded.priority, due = excluded.due, \
        run_after = excluded.run_after, rank = excluded.rank, updated_at = excluded.updated_at, \
        revision = effects.revision + 1, attempts = 0, result = NULL, error = NULL, \
        state = CASE WHEN effects.state = 'leased' THEN 'leased' ELSE 'ready' END \
        WHERE effects.desired <> excluded.desired OR effects.state = 'cancelled' \
        OR (effects.lane = 'timer' AND effects.due <> excluded.due) \
        OR (effects.state = 'leased' AND effects.cancel_at IS NOT NULL AND effects.revision = effects.leased_revision)";
    EFFECT_CANCEL = "UPDATE effects SET updated_at = $2, \
        cancel_at = CASE WHEN state = 'leased' THEN COALESCE(cancel_at, $2) ELSE cancel_at END, \
        leased_revision = CASE WHEN state = 'leased' THEN revision ELSE leased_revision END, \
        state = CASE WHEN state = 'leased' THEN 'leased' ELSE 'cancelled' END \
        WHERE key = $1 AND state IN ('ready', 'leased')";
    EFFECT_DONE = "UPDATE effects SET updated_at = $4, result = $3, error = NULL, attempts = 0, \
        run_after = due, rank = due - priority * $5, lease_by = NULL, lease_boot = NULL, lease_until = NULL, \
        cancel_at = NULL, state = CASE WHEN revision > leased_revision THEN 'ready' \
        WHEN cancel_at IS NOT NULL THEN 'cancelled' ELSE 'done' END \
        WHERE key = $1 AND token = $2 AND state = 'leased'";
    EFFECT_RETRY = "UPDATE effects SET updated_at = $4, error = $3, \
        attempts = CASE WHEN attempts + $6 < $9 THEN attempts + $6 ELSE $9 END, \
        run_after = CASE WHEN revision > leased_revision THEN due ELSE $7 END, \
        rank = CASE WHEN revision > leased_revision THEN due ELSE $7 END - priority * $5, \
        lease_by = NULL, lease_boot = NULL, lease_until = NULL, cancel_at = NULL, \
        state = CASE WHEN revision > leased_revision THEN 'ready' WHEN cancel_at IS NOT NULL THEN 'cancelled' \
        WHEN attempts + $6 >= $8 THEN 'dead' ELSE 'ready' END \
        WHERE key = $1 AND token = $2 AND state = 'leased' RETURNING state";
    EFFECT_EXPIRE = "UPDATE effects SET updated_at = $1, attempts = attempts + 1, \
        error = 'the lease ran out: its holder did not come back', \
        lease_by = NULL, lease_boot = NULL, lease_until = NULL, cancel_at = NULL, \
        state = CASE WHEN revision > leased_revision THEN 'ready' WHEN cancel_at IS NOT NULL THEN 'cancelled' \
        WHEN attempts + 1 >= $2 THEN 'dead' ELSE 'ready' END \
        WHERE state = 'leased' AND lease_until <= $1";
    EFFECT_RECLAIM = "UPDATE effects SET lease_until = $1 WHERE state = 'leased'";
    EFFECT_BEAT = "UPDATE effects SET lease_until = $3 WHERE key = $1 AND token = $2 AND state = 'leased' \
        RETURNING cancel_at";
    EFFECT_AGAIN = "UPDATE effects SET updated_at = $2, run_after = $2, rank = $2 - priority * $3, \
        revision = revision + 1, attempts = 0, error = NULL, result = NULL, \
        state = CASE WHEN state = 'leased' THEN 'leased' ELSE 'ready' END WHERE key = $1";
    EFFECT_REVIVE = "UPDATE effects SET updated_at = $2, run_after = $2, rank = $2 - priority * $3, \
        attempts = 0, state = 'ready' WHERE key = $1 AND state IN ('dead', 'cancelled')";
    EFFECT_GET = effects!("WHERE key = $1");
    // Three lists, since an index serves only what is not optional.
    EFFECT_LIST = effects!("WHERE (state = $1 OR $1 IS NULL) AND (kind = $2 OR $2 IS NULL) ORDER BY id DESC LIMIT $3");
    EFFECT_LIST_OF = effects!("WHERE (state = $1 OR $1 IS NULL) AND (kind = $2 OR $2 IS NULL) AND stream = $4 \
        ORDER BY id DESC LIMIT $3");
    EFFECT_LIST_DEAD = effects!("WHERE state = 'dead' AND (kind = $1 OR $1 IS NULL) AND (stream = $2 OR $2 IS NULL) \
        ORDER BY id DESC LIMIT $3");
    EFFECT_DUE = "SELECT min(at) FROM (\
        SELECT min(run_after) AS at FROM effects WHERE state = 'ready' AND run_after > $1 \
        UNION ALL SELECT min(lease_until) AS at FROM effects WHERE state = 'leased') AS due";
    EFFECT_COUNTS = "SELECT lane, CAST('ready' AS TEXT), CAST(count(*) AS BIGINT) FROM effects WHERE state = 'ready' \
        GROUP BY lane UNION ALL SELECT lane, CAST('leased' AS TEXT), CAST(count(*) AS BIGINT) FROM effects \
        WHERE state = 'leased' GROUP BY lane UNION ALL SELECT lane, CAST('dead' AS TEXT), CAST(count(*) AS BIGINT) \
        FROM effects WHERE state = 'dead' GROUP BY lane ORDER BY 1, 2";
    EFFECT_OLDEST = "SELECT min(run_after) FROM effects WHERE state = 'ready' AND run_after <= $1";
    EFFECT_FORGET = "DELETE FROM effects WHERE id IN (SELECT id FROM effects \
        WHERE lane = 'intake' AND state = 'done' AND updated_at < $1 ORDER BY id LIMIT $2)";

    // Duties, locks, limits, cursors.
    DUTY_TAKE = "INSERT INTO duties (name, holder, token, until) VALUES ($1, $2, 1, $4) ON CONFLICT (name) DO UPDATE \
        SET token = CASE WHEN duties.holder = excluded.holder AND duties.until > $3 THEN duties.token \
        ELSE duties.token + 1 END, holder = excluded.holder, until = excluded.until \
        WHERE duties.until <= $3 OR duties.holder = excluded.holder RETURNING token";
    DUTY_RECLAIM = "UPDATE duties SET until = $1 WHERE until > $1";
    LOCK_OF = "SELECT name, holder FROM locks WHERE stream = $1";
    LOCK_GET = "SELECT stream, holder, since FROM locks WHERE name = $1";
    LOCK_PUT = "INSERT INTO locks (name, stream, holder, since) VALUES ($1, $2, $3, $4) ON CONFLICT (name) \
        DO UPDATE SET holder = excluded.holder, since = excluded.since WHERE locks.stream = excluded.stream";
    LOCK_DROP = "DELETE FROM locks WHERE name = $1 AND stream = $2";
    LIMIT_PUT = "INSERT INTO rate_limits (scope, blocked_until) VALUES ($1, $2) ON CONFLICT (scope) DO UPDATE \
        SET blocked_until = excluded.blocked_until WHERE rate_limits.blocked_until IS NULL \
        OR rate_limits.blocked_until < excluded.blocked_until";
    LIMIT_GET = "SELECT blocked_until FROM rate_limits WHERE scope = $1";
    CURSOR_PUT = "INSERT INTO cursors (name, value, at) VALUES ($1, $2, $3) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at";
    CURSOR_GET = "SELECT value FROM cursors WHERE name = $1";

    // Logs.
    LOG_PUT = "INSERT INTO logs (log, first_line, lines, body) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (log, first_line) DO NOTHING";
    LOG_GET = "SELECT first_line, body FROM logs WHERE log = $1 AND first_line + lines > $2 \
        ORDER BY first_line LIMIT $3";

    // Read models.
    REPOSITORY_PUT = "INSERT INTO repositories (repo_id, host, name, default_branch, settings) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (repo_id) DO UPDATE SET host = excluded.host, name = excluded.name, \
        default_branch = excluded.default_branch, settings = excluded.settings";
    REPOSITORY_GET = "SELECT repo_id, host, name, default_branch, settings FROM repositories WHERE repo_id = $1";
    REPOSITORY_LIST = "SELECT repo_id, host, name, default_branch, settings FROM repositories ORDER BY repo_id";
    PIPELINE_PUT = "INSERT INTO pipelines (stream, repo_id, repo_name, name, settings) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (stream) DO UPDATE SET repo_id = excluded.repo_id, repo_name = excluded.repo_name, \
        name = excluded.name, settings = excluded.settings";
    PIPELINE_GET = "SELECT stream, repo_id, repo_name, name, settings FROM pipelines WHERE stream = $1";
    PIPELINE_LIST = "SELECT stream, repo_id, repo_name, name, settings FROM pipelines ORDER BY stream";
    RELEASE_PUT = "INSERT INTO releases (stream, no, seq, version, commit_sha, digest, state, title, created_at, \
        updated_at, summary) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (stream, no) DO UPDATE \
        SET seq = excluded.seq, version = excluded.version, commit_sha = excluded.commit_sha, \
        digest = excluded.digest, state = excluded.state, title = excluded.title, \
        created_at = excluded.created_at, updated_at = excluded.updated_at, summary = excluded.summary";
    RELEASE_GET = "SELECT stream, no, seq, version, commit_sha, digest, state, title, created_at, updated_at, summary \
        FROM releases WHERE stream = $1 AND no = $2";
    RELEASE_LATEST = "SELECT stream, no, seq, version, commit_sha, digest, state, title, created_at, updated_at, \
        summary FROM releases WHERE stream = $1 AND no < $2 ORDER BY no DESC LIMIT $3";
    RELEASE_BY_VERSION = "SELECT stream, no, seq, version, commit_sha, digest, state, title, created_at, updated_at, \
        summary FROM releases WHERE stream = $1 AND version = $2 ORDER BY no DESC LIMIT 1";
    RELEASE_BY_COMMIT = "SELECT stream, no, seq, version, commit_sha, digest, state, title, created_at, updated_at, \
        summary FROM releases WHERE commit_sha >= $1 AND commit_sha < $2 ORDER BY created_at DESC, stream, no DESC \
        LIMIT $3";
    RELEASE_BY_DIGEST = "SELECT stream, no, seq, version, commit_sha, digest, state, title, created_at, updated_at, \
        summary FROM releases WHERE digest >= $1 AND digest < $2 ORDER BY created_at DESC, stream, no DESC LIMIT $3";
    STAGE_PUT = "INSERT INTO stages (stream, no, stage, position, attempt, state, digest, line, next_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (stream, no, stage) DO UPDATE \
        SET position = excluded.position, attempt = excluded.attempt, state = excluded.state, \
        digest = excluded.digest, line = excluded.line, next_at = excluded.next_at, updated_at = excluded.updated_at";
    STAGE_LIST = "SELECT stream, no, stage, position, attempt, state, digest, line, next_at, updated_at FROM stages \
        WHERE stream = $1 AND no >= $2 AND no <= $3 ORDER BY no DESC, position, stage";
    CLEAR_PIPELINES = "DELETE FROM pipelines";
    CLEAR_RELEASES = "DELETE FROM releases";
    CLEAR_STAGES = "DELETE FROM stages";

    // The library of variable groups.
    GROUP_LIST = "SELECT name, version, body, updated_at FROM library_groups WHERE name > $1 ORDER BY name LIMIT $2";
    GROUP_GET = "SELECT name, version, body, updated_at FROM library_groups WHERE name = $1";
    GROUP_OPEN = "INSERT INTO library_groups (name, version, body, updated_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (name) DO NOTHING";
    GROUP_MOVE = "UPDATE library_groups SET version = $3, body = $4, updated_at = $5 \
        WHERE name = $1 AND version = $2";
    GROUP_HISTORY_PUT = "INSERT INTO library_history (name, version, at, author, changes) \
        VALUES ($1, $2, $3, $4, $5)";
    GROUP_HISTORY = "SELECT version, at, author, changes FROM library_history \
        WHERE name = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    SEALED_PUT = "INSERT INTO library_secrets (name, variable, version, body) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (name, variable) DO UPDATE SET version = excluded.version, body = excluded.body";
    SEALED_DROP = "DELETE FROM library_secrets WHERE name = $1 AND variable = $2";
    SEALED_GET = "SELECT version, body FROM library_secrets WHERE name = $1 AND variable = $2";

    // Checkpoints.
    CHECKPOINT_LAST = "SELECT no, chain FROM checkpoints ORDER BY no DESC LIMIT 1";
    CHECKPOINT_PUT = "INSERT INTO checkpoints (no, root, chain, at) VALUES ($1, $2, $3, $4)";
    CHECKPOINT_LIST = "SELECT no, root, chain, at FROM checkpoints WHERE no > $1 ORDER BY no LIMIT $2";
    CHECKPOINT_MOVED = "SELECT s.stream, s.version, s.head FROM streams s WHERE NOT EXISTS \
        (SELECT 1 FROM checkpoint_heads h WHERE h.stream = s.stream AND h.version = s.version) \
        ORDER BY s.stream LIMIT $1";
    CHECKPOINT_HEAD_PUT = "INSERT INTO checkpoint_heads (stream, version, head, checkpoint) VALUES ($1, $2, $3, $4)";
    CHECKPOINT_HEADS = "SELECT h.stream, h.version, h.head, e.hash FROM checkpoint_heads h \
        LEFT JOIN events e ON e.stream = h.stream AND e.version = h.version \
        WHERE h.checkpoint = $1 ORDER BY h.stream";

    PING = "SELECT CAST(1 AS BIGINT)";
}

/// The claim without its lock; the engines put theirs in the middle.
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "WITH c AS MATERIALIZED (SELECT e.id FROM effects e WHERE e.state = 'ready' AND e.lane = $1 ",
            "AND e.run_after <= $2 AND (e.group_key IS NULL OR NOT EXISTS (SELECT 1 FROM effects o ",
            "WHERE o.group_key = e.group_key AND o.state = 'leased') AND NOT EXISTS (SELECT 1 FROM locks l ",
            "WHERE (l.name = e.group_key OR l.name || ' ' = substr(e.group_key, 1, length(l.name) + 1)) ",
            "AND l.stream <> e.stream)) ORDER BY e.rank, e.id LIMIT 1",
            $lock,
            ") UPDATE effects SET state = 'leased', token = token + 1, leased_revision = revision, ",
            "lease_by = $3, lease_boot = $4, lease_until = $5, cancel_at = NULL, updated_at = $2 FROM c ",
            "WHERE effects.id = c.id RETURNING effects.key, effects.kind, effects.lane, effects.stream, ",
            "effects.desired, effects.revision, effects.token, effects.attempts"
        )
    };
}

statements! { SQLITE:
    CLAIM_SQLITE = claim!("");
}

statements! { POSTGRES:
    CLAIM_POSTGRES = claim!(" FOR UPDATE SKIP LOCKED");
    CLOCK_POSTGRES = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
    NOTIFY_POSTGRES = "SELECT CAST(pg_notify('liftlock', '') AS TEXT)";
}
