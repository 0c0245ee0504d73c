"""The storage worker's answer: the photo is checked and stored, or it is not a photo."""

from functions.waste import db as sql
from functions.waste.messages import PhotoClassified, PhotoProcessed
from shared import spend
from shared.messages import ClassifyPhoto, DeleteObjects, Outcome, ProcessedPhoto, convert
from shared.parts import Db, Objects, Progress
from shared.tasks import enqueue, settle
from shared.triggers import queue


@queue(PhotoProcessed)
async def photo_processed(outcome: Outcome, db: Db, objects: Objects, progress: Progress) -> None:
    analysis_id = outcome.subject
    failed = False
    async with db.transaction() as conn:
        found = await sql.select_owner_later(conn, analysis_id)
        still_open = await settle(conn, outcome)
        owner = await found.fetchone()
        if owner is None:
            # Deleted meanwhile: no one will ever ask for these copies.
            await enqueue(conn, DeleteObjects(prefixes=[f"images/{analysis_id}"]), subject=analysis_id)
        elif still_open and outcome.status == "success":
            photo = convert(outcome.record, ProcessedPhoto)
            await sql.update_stored(conn, analysis_id, objects.public_url(photo.web_key))
            urls = {key: objects.public_url(key) for key in (photo.web_key, photo.thumbnail_key)}
            await sql.insert_images(conn, analysis_id, urls, outcome.completed_at)
            payer = spend.spender(owner.user_id)
            message = ClassifyPhoto(photo.web_key, photo.content_hash, photo.thumbnail_key, payer)
            await enqueue(conn, message, subject=analysis_id, reply=PhotoClassified, person=payer)
        elif still_open and outcome.error is not None:
            failed = True
            error = outcome.error
            await sql.update_failed(conn, analysis_id, error.code, error.message, outcome.completed_at)
    if failed:
        await progress.ended()
