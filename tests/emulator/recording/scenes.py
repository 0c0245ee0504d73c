"""What people do while it is recorded: accounts, a photograph with its position, a question, searches."""

from io import BytesIO
from typing import Any

from PIL import Image

from tests import web

PASSWORD = "correct horse battery"
EMAIL = "mina.kim@example.com"
ADDRESS = "서울특별시 마포구 월드컵로 212"


def photo_with_position(latitude: float = 37.5665, longitude: float = 126.9018) -> bytes:
    """A JPEG as a telephone makes it: with its position and the owner's name in it."""
    image = Image.linear_gradient("L").convert("RGB").resize((320, 240))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x013B] = 6, "Telephone", "Kim Mina"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", _degrees(latitude)
    gps[3], gps[4] = "E", _degrees(longitude)
    out = BytesIO()
    image.save(out, "JPEG", exif=exif, comment=b"mina at home")
    return out.getvalue()


def _degrees(value: float) -> tuple[float, float, float]:
    whole = int(value)
    minutes = int((value - whole) * 60)
    return float(whole), float(minutes), round((value - whole - minutes / 60) * 3600, 2)


class Visitor:
    """One person with a browser."""

    def __init__(self, url: str, name: str = "mina", email: str = EMAIL) -> None:
        self.url, self.name, self.email = f"{url}/api/v1", name, email
        self.headers: dict[str, str] = {}

    def ask(self, method: str, path: str, status: int, **how: Any) -> Any:
        answer = web.request(method, self.url + path, headers=self.headers, timeout=60, **how)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def register(self) -> None:
        self.ask("POST", "/auth/register", 201, json={"username": self.name, "email": self.email, "password": PASSWORD})

    def log_in(self) -> None:
        tokens = self.ask("POST", "/auth/login", 200, json={"username": self.name, "password": PASSWORD})
        self.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        self.refresh_token = tokens["refresh_token"]

    def upload(self) -> str:
        content = photo_with_position()
        form = self.ask("POST", "/waste/uploads", 201, json={"content_type": "image/jpeg", "size_bytes": len(content)})
        files = {"file": ("kim-mina.jpg", content, "image/jpeg")}
        assert web.post(form["url"], data=form["fields"], files=files).is_success
        key: str = form["image_key"]
        return key

    def photograph(self) -> dict[str, Any]:
        """Upload, follow to the end, read."""
        made = self.ask("POST", "/waste/analyses", 202, json={"image_key": self.upload()})
        self.follow(f"/waste/analyses/{made['id']}/events")
        found: dict[str, Any] = self.ask("GET", f"/waste/analyses/{made['id']}", 200)
        return found

    def question(self, text: str) -> dict[str, Any]:
        conversation = self.ask("POST", "/chat/conversations", 201, json={})
        messages = f"/chat/conversations/{conversation['id']}/messages"
        reply = self.ask("POST", messages, 202, json={"content": text})["reply"]
        self.follow(f"{messages}/{reply['id']}/events")
        found: dict[str, Any] = self.ask("GET", f"{messages}/{reply['id']}", 200)
        return found

    def follow(self, path: str) -> str:
        return web.get(self.url + path, headers=self.headers, timeout=60).text


def a_day(url: str, name: str = "mina", email: str = EMAIL) -> Visitor:
    """All of it, by one person."""
    person = Visitor(url, name, email)
    person.register()
    person.log_in()
    assert person.photograph()["status"] == "success"
    assert person.question("우유팩은 어떻게 버려요?")["status"] == "success"
    person.ask("GET", "/recycle/search", 200, params={"q": "페트병"})
    person.ask("GET", "/waste/analyses", 200)
    person.ask("GET", "/auth/me", 200)
    person.ask("POST", "/auth/login", 401, json={"username": name, "password": "wrong horse battery"})
    return person
