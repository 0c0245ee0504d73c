-- Where a reply stands, what it rests on and who gave it. A pending reply's content is empty.
ALTER TABLE chat_llm.messages
    ADD COLUMN position INTEGER,
    ADD COLUMN status VARCHAR(20) NOT NULL DEFAULT 'success' CHECK (status IN ('pending', 'failure', 'success')),
    ADD COLUMN sources JSONB NOT NULL DEFAULT '[]',
    ADD COLUMN language VARCHAR(10),
    ADD COLUMN provider VARCHAR(100),
    ADD COLUMN model VARCHAR(200),
    ADD COLUMN error TEXT,
    ADD COLUMN error_code VARCHAR(100),
    ADD COLUMN completed_at TIMESTAMP,
    ADD CHECK (role IN ('user', 'assistant'));
-- Places are given out under the conversation's row lock: two replicas' clocks may differ, and a question stands before
-- its reply even where both have the same microsecond.
UPDATE chat_llm.messages m SET position = numbered.position
    FROM (SELECT id, row_number() OVER (PARTITION BY conversation_id ORDER BY created_at, id) AS position
          FROM chat_llm.messages) numbered
    WHERE numbered.id = m.id;
ALTER TABLE chat_llm.messages ALTER COLUMN position SET NOT NULL;
CREATE UNIQUE INDEX messages_of_conversation ON chat_llm.messages (conversation_id, position);
-- How many places are given out. Messages leave only with their conversation, so it is also how many there are.
ALTER TABLE chat_llm.conversations ADD COLUMN message_count INTEGER NOT NULL DEFAULT 0;
UPDATE chat_llm.conversations c SET message_count = counted.messages
    FROM (SELECT conversation_id, count(*) AS messages FROM chat_llm.messages GROUP BY conversation_id) counted
    WHERE counted.conversation_id = c.id;
CREATE INDEX conversations_of_user ON chat_llm.conversations (user_id, created_at DESC, id DESC);
