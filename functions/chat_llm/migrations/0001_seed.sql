CREATE TABLE chat_llm.conversations (
    id UUID PRIMARY KEY, user_id UUID NOT NULL, title VARCHAR(200), created_at TIMESTAMP DEFAULT NOW());
CREATE TABLE chat_llm.messages (
    id UUID PRIMARY KEY, conversation_id UUID REFERENCES chat_llm.conversations(id),
    role VARCHAR(20) NOT NULL,       -- user, assistant
    content TEXT NOT NULL, created_at TIMESTAMP DEFAULT NOW());
