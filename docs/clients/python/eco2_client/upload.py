"""A photo straight into the object store, in a form that the API signs."""

import io
from collections.abc import Callable

import httpx
from eco2_client.answers import ApiError, value
from eco2_client.api.userinfo import userinfo_create_avatar_upload
from eco2_client.api.waste import waste_create_upload
from eco2_client.client import AuthenticatedClient
from eco2_client.models import PhotoType, UploadRequest

# Seconds: the store answers when it has all of the file.
PATIENCE = 60.0


def upload(
    client: AuthenticatedClient,
    photo: bytes,
    content_type: PhotoType,
    *,
    avatar: bool = False,
    on_progress: Callable[[float], None] = lambda part: None,
) -> str:
    """Send a photo (up to 10 MiB) to be analysed, or the person's picture; return its image key, good for an hour and once.

    Args:
        client: that of `connect`: a header of its own would go to the store too.
        on_progress: hears the part that is sent, 0 to 1.

    Raises:
        ApiError: the API or the store refuses it.
    """
    wanted = UploadRequest(content_type, len(photo))
    form = value(
        userinfo_create_avatar_upload.sync_detailed(client=client, body=wanted)
        if avatar
        else waste_create_upload.sync_detailed(client=client, body=wanted)
    )
    answer = client.get_httpx_client().post(
        form.url,
        data=form.fields.to_dict(),
        files={
            "file": ("photo", _Watched(photo, on_progress), content_type)
        },  # after the fields, as the store wants it
        auth=httpx.Auth(),  # the form has a signature of its own
        timeout=PATIENCE,
    )
    if not answer.is_success:
        raise ApiError(answer.status_code, answer.headers, None)
    return form.image_key


class _Watched(io.BytesIO):
    """Bytes that tell how much of them was read."""

    def __init__(self, content: bytes, on_progress: Callable[[float], None]) -> None:
        super().__init__(content)
        self._size = len(content)
        self._on_progress = on_progress

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        if part:
            self._on_progress(self.tell() / self._size)
        return part
