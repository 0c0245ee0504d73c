CREATE TABLE recycle_info.items (
    id UUID PRIMARY KEY, name VARCHAR(200) NOT NULL, category VARCHAR(50) NOT NULL, description TEXT,
    how_to_recycle TEXT, do_not_do TEXT, images JSONB);
CREATE TABLE recycle_info.user_queries (
    id UUID PRIMARY KEY, user_id UUID NOT NULL, query TEXT NOT NULL, result JSONB,
    created_at TIMESTAMP DEFAULT NOW());
