CREATE TABLE users.profiles (
    user_id UUID PRIMARY KEY, nickname VARCHAR(100), avatar_url VARCHAR(500), bio TEXT,
    updated_at TIMESTAMP DEFAULT NOW());
CREATE TABLE users.settings (
    user_id UUID PRIMARY KEY, notification_enabled BOOLEAN DEFAULT TRUE,
    language VARCHAR(10) DEFAULT 'ko', theme VARCHAR(20) DEFAULT 'light');
