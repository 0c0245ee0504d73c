CREATE TABLE auth.users (
    id UUID PRIMARY KEY, username VARCHAR(100) UNIQUE NOT NULL, email VARCHAR(255) UNIQUE NOT NULL,
    password_hash VARCHAR(255) NOT NULL, created_at TIMESTAMP DEFAULT NOW());
CREATE TABLE auth.sessions (
    id UUID PRIMARY KEY, user_id UUID REFERENCES auth.users(id), token VARCHAR(500) NOT NULL,
    expires_at TIMESTAMP NOT NULL, created_at TIMESTAMP DEFAULT NOW());
CREATE TABLE auth.refresh_tokens (
    id UUID PRIMARY KEY, user_id UUID REFERENCES auth.users(id), token VARCHAR(500) NOT NULL,
    expires_at TIMESTAMP NOT NULL);
