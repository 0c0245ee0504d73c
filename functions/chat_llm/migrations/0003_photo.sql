-- The analysis that a question is about, so that "왜 플라스틱이야?" still is a turn later. It is api-waste's, and may be gone there.
ALTER TABLE chat_llm.messages ADD COLUMN analysis_id UUID;
