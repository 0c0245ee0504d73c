CREATE TABLE waste.analyses (
    id UUID PRIMARY KEY, user_id UUID NOT NULL, image_url VARCHAR(500) NOT NULL,
    waste_type VARCHAR(50),          -- plastic, paper, metal, glass, ...
    confidence DECIMAL(5, 4), analysis_result JSONB, created_at TIMESTAMP DEFAULT NOW());
CREATE TABLE waste.images (
    id UUID PRIMARY KEY, analysis_id UUID REFERENCES waste.analyses(id), s3_key VARCHAR(500) NOT NULL,
    cloudfront_url VARCHAR(500), uploaded_at TIMESTAMP DEFAULT NOW());
