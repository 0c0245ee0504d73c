"""API.md as data: every path, method, status and field that clients may rely on."""

from msgspec import Struct


class Row(Struct, frozen=True):
    """One method of one path, as API.md names it. Braces in `path` name nothing: `{}`.

    `named` are the statuses that the path's own row states; an answer's fields may be added to, never taken away.
    """

    service: str
    method: str
    path: str
    success: int
    answer: str = ""
    body: str = ""
    query: str = ""
    named: tuple[int, ...] = ()
    public: bool = False
    idempotent: bool = False
    paged: bool = False
    events: str = ""


PREFIXES = {
    "auth": "/api/v1/auth",
    "userinfo": "/api/v1/users",
    "location": "/api/v1/locations",
    "waste": "/api/v1/waste",
    "recycle_info": "/api/v1/recycle",
    "chat_llm": "/api/v1/chat",
}

USER = "id username email created_at email_verified has_password"
TOKENS = "access_token token_type expires_in refresh_token"
PROFILE = "user_id nickname avatar_url bio updated_at"
SETTINGS = "notification_enabled language theme"
UPLOAD = "image_key url fields expires_at"
PLACE = "id name address latitude longitude is_default created_at"
CENTER = "id name address latitude longitude phone operating_hours items"
ANALYSIS = (
    "id status image_url waste_type corrected_type confidence analysis_result error images created_at completed_at"
)
ITEM = "id name category description how_to_recycle do_not_do images"
CONVERSATION = "id title created_at message_count"
MESSAGE = "id role content status sources created_at"

# Fields inside of others, by the answer they are in.
NESTED = {
    "images": "s3_key cloudfront_url uploaded_at",
    "analysis_result": "candidates provider model guide",
    "candidates": "waste_type confidence",
    "guide": "steps do_not item_ids",
    "sources": "item_id name",
    "reply": "id status",
}
WASTE_TYPES = (
    "paper paper_pack plastic pet_clear vinyl styrofoam glass metal clothing battery lighting electronics"
    " food bulky general unknown"
)

TABLE = [
    Row("auth", "POST", "/register", 201, USER, "username email password", named=(201, 409), public=True),
    Row("auth", "POST", "/login", 200, TOKENS, "username password", named=(200, 401, 429), public=True),
    Row("auth", "POST", "/refresh", 200, TOKENS, "refresh_token", named=(200, 401), public=True),
    Row("auth", "POST", "/logout", 204, body="refresh_token", named=(204,), public=True),
    Row("auth", "GET", "/me", 200, USER),
    Row("auth", "GET", "/sessions", 200, "id created_at expires_at current", paged=True),
    Row("auth", "DELETE", "/sessions/{}", 204, named=(204,)),
    Row("auth", "DELETE", "/me", 202, body="password", named=(202,)),
    Row("auth", "PUT", "/password", 204, body="current_password new_password", named=(204,)),
    Row("auth", "GET", "/jwks.json", 200, "keys", public=True),
    Row("auth", "POST", "/password/forgot", 202, body="email", named=(202,), public=True),
    Row("auth", "POST", "/password/reset", 204, body="token new_password", named=(204, 400), public=True),
    Row("auth", "POST", "/email/verification", 202, named=(202,)),
    Row("auth", "POST", "/email/verify", 204, body="token", named=(204,), public=True),
    Row("auth", "GET", "/oauth/providers", 200, "provider name", public=True),
    Row(
        "auth",
        "GET",
        "/oauth/{}/start",
        303,
        query="return_to code_challenge",
        named=(303,),
        public=True,
    ),
    Row("auth", "GET", "/oauth/{}/callback", 303, named=(303,), public=True),
    Row("auth", "POST", "/oauth/exchange", 200, TOKENS, "code code_verifier", named=(200,), public=True),
    Row("auth", "GET", "/identities", 200, "provider email created_at"),
    Row("auth", "POST", "/identities/{}", 200, "url", "return_to code_challenge", named=(200,)),
    Row("auth", "DELETE", "/identities/{}", 204, named=(204,)),
    Row("userinfo", "GET", "/me", 200, PROFILE),
    Row("userinfo", "PATCH", "/me", 200, PROFILE, "nickname bio avatar_url"),
    Row("userinfo", "POST", "/me/avatar/uploads", 201, UPLOAD, "content_type size_bytes", named=(201,)),
    Row("userinfo", "PUT", "/me/avatar", 202, PROFILE, "image_key", named=(202,), idempotent=True),
    Row("userinfo", "GET", "/me/settings", 200, SETTINGS),
    Row("userinfo", "PATCH", "/me/settings", 200, SETTINGS, SETTINGS),
    Row("userinfo", "GET", "/{}", 200, "user_id nickname avatar_url bio", public=True),
    Row("location", "GET", "/me", 200, PLACE, paged=True),
    Row(
        "location",
        "POST",
        "/me",
        201,
        PLACE,
        "name address latitude longitude is_default",
        named=(201,),
        idempotent=True,
    ),
    Row("location", "GET", "/me/{}", 200, PLACE),
    Row("location", "PATCH", "/me/{}", 200, PLACE, "name address latitude longitude is_default"),
    Row("location", "DELETE", "/me/{}", 204),
    Row(
        "location",
        "GET",
        "/centers",
        200,
        f"{CENTER} distance_m",
        query="lat lon radius_m limit open_at item bbox",
        public=True,
        paged=True,
    ),
    Row("location", "GET", "/centers/search", 200, CENTER, query="q", public=True, paged=True),
    Row("location", "GET", "/centers/{}", 200, CENTER, public=True),
    Row("waste", "POST", "/uploads", 201, UPLOAD, "content_type size_bytes", named=(201,)),
    Row("waste", "POST", "/analyses", 202, ANALYSIS, "image_key", named=(202, 404), idempotent=True),
    Row("waste", "GET", "/analyses/{}", 200, ANALYSIS),
    Row("waste", "GET", "/analyses", 200, ANALYSIS, paged=True),
    Row("waste", "GET", "/analyses/{}/events", 200, events="progress done failed"),
    Row("waste", "PATCH", "/analyses/{}", 200, ANALYSIS, "waste_type"),
    Row("waste", "DELETE", "/analyses/{}", 204, named=(204,)),
    Row("waste", "GET", "/stats", 200, "total by_type since"),
    Row("recycle_info", "GET", "/categories", 200, "category name_ko name_en count", public=True),
    Row("recycle_info", "GET", "/items", 200, ITEM, query="category", public=True, paged=True),
    Row("recycle_info", "GET", "/items/{}", 200, ITEM, public=True),
    Row("recycle_info", "GET", "/search", 200, "items query", query="q limit", public=True),
    Row("recycle_info", "GET", "/queries", 200, "id query created_at", paged=True),
    Row("recycle_info", "DELETE", "/queries", 204, named=(204,)),
    Row("chat_llm", "GET", "/conversations", 200, CONVERSATION, paged=True),
    Row("chat_llm", "POST", "/conversations", 201, CONVERSATION, "title", named=(201,), idempotent=True),
    Row("chat_llm", "GET", "/conversations/{}", 200, CONVERSATION),
    Row("chat_llm", "PATCH", "/conversations/{}", 200, CONVERSATION, "title"),
    Row("chat_llm", "DELETE", "/conversations/{}", 204),
    Row("chat_llm", "GET", "/conversations/{}/messages", 200, MESSAGE, paged=True),
    Row(
        "chat_llm",
        "POST",
        "/conversations/{}/messages",
        202,
        "message reply",
        "content analysis_id",
        named=(202,),
        idempotent=True,
    ),
    Row("chat_llm", "GET", "/conversations/{}/messages/{}", 200, MESSAGE),
    Row("chat_llm", "GET", "/conversations/{}/messages/{}/events", 200, events="token restart done failed"),
]
# What is beside each event stream (API.md's conventions): the address that issues a ticket for it.
TICKETS = [
    Row(row.service, "POST", f"{row.path}/ticket", 201, "ticket expires_in", named=(201,))
    for row in TABLE
    if row.events
]
# Fields that API.md leaves to a standard or to common sense.
UNSPOKEN = {"auth": {"keys"}, "location": {"id", "created_at"}, "recycle_info": {"id", "created_at"}}
