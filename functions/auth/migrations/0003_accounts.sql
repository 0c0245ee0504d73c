-- Who signs in with a provider has no password that anybody knows: password_hash is then that of a random one.
ALTER TABLE auth.users
    ADD COLUMN has_password BOOLEAN NOT NULL DEFAULT TRUE,
    ADD COLUMN email_verified_at TIMESTAMP;

-- Tokens that went out by mail: to set a new password, to verify an address. The mail has the token, this its SHA-256.
CREATE TABLE auth.mail_tokens (
    token VARCHAR(64) PRIMARY KEY, user_id UUID NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
    purpose VARCHAR(20) NOT NULL, email VARCHAR(255) NOT NULL, expires_at TIMESTAMP NOT NULL);
CREATE INDEX mail_tokens_user ON auth.mail_tokens (user_id);
CREATE INDEX mail_tokens_expiry ON auth.mail_tokens (expires_at);

-- A person's accounts elsewhere. `subject` is the provider's own id of the person, which stays when the address changes.
CREATE TABLE auth.identities (
    provider VARCHAR(20) NOT NULL, subject VARCHAR(255) NOT NULL,
    user_id UUID NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
    email VARCHAR(255), created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (provider, subject), UNIQUE (user_id, provider));

-- A sign-in under way at a provider. `state` is the SHA-256 of what the provider sends back; `user_id` is set where a person
-- who is signed in adds the provider to their account; `code_challenge` is the app's, `verifier` is ours towards the provider.
CREATE TABLE auth.oauth_flows (
    state VARCHAR(64) PRIMARY KEY, provider VARCHAR(20) NOT NULL, nonce VARCHAR(64) NOT NULL, verifier VARCHAR(128) NOT NULL,
    return_to VARCHAR(500) NOT NULL, code_challenge VARCHAR(128) NOT NULL,
    user_id UUID REFERENCES auth.users (id) ON DELETE CASCADE, expires_at TIMESTAMP NOT NULL);
CREATE INDEX oauth_flows_expiry ON auth.oauth_flows (expires_at);
CREATE INDEX oauth_flows_user ON auth.oauth_flows (user_id);

-- What the app exchanges for tokens, once and within a minute. With `provider` and `subject`, the exchange links them.
CREATE TABLE auth.oauth_codes (
    code VARCHAR(64) PRIMARY KEY, user_id UUID NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
    code_challenge VARCHAR(128) NOT NULL, provider VARCHAR(20), subject VARCHAR(255), email VARCHAR(255),
    expires_at TIMESTAMP NOT NULL);
CREATE INDEX oauth_codes_expiry ON auth.oauth_codes (expires_at);
CREATE INDEX oauth_codes_user ON auth.oauth_codes (user_id);
