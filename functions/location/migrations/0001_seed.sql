CREATE TABLE locations.user_locations (
    id UUID PRIMARY KEY, user_id UUID NOT NULL, name VARCHAR(100) NOT NULL, address TEXT NOT NULL,
    latitude DECIMAL(10, 8), longitude DECIMAL(11, 8), is_default BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP DEFAULT NOW());
CREATE TABLE locations.recycle_centers (
    id UUID PRIMARY KEY, name VARCHAR(200) NOT NULL, address TEXT NOT NULL,
    latitude DECIMAL(10, 8), longitude DECIMAL(11, 8), phone VARCHAR(20), operating_hours JSONB);
