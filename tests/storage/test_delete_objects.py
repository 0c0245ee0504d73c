import pytest

from functions.storage.delete_objects import delete_objects
from shared.messages import DeleteObjects
from shared.objects import ObjectStore
from shared.tasks import TaskFailed


def keys(store: ObjectStore) -> set[str]:
    return {found.key for found in store.list("")}


def test_keys_and_everything_below_a_prefix_go(store: ObjectStore) -> None:
    for key in ("uploads/1/a", "images/1/a.jpg", "images/1/b.jpg", "images/10/a.jpg"):
        store.put(key, b"x", content_type="image/jpeg")
    result = delete_objects(DeleteObjects(keys=["uploads/1/a"], prefixes=["images/1"]), store)
    assert keys(store) == {"images/10/a.jpg"}, "images/10 is another's"
    assert result.record == {"deleted": 3}


def test_deleting_twice_does_no_harm(store: ObjectStore) -> None:
    delete_objects(DeleteObjects(keys=["uploads/1/gone"], prefixes=["images/gone/"]), store)
    delete_objects(DeleteObjects(keys=["uploads/1/gone"], prefixes=["images/gone/"]), store)
    assert keys(store) == set()


@pytest.mark.parametrize("prefix", ["", "/", "images", "images/", "//images//"])
def test_a_prefix_that_would_take_other_peoples_photos_is_refused_before_anything_is_deleted(
    store: ObjectStore, prefix: str
) -> None:
    store.put("images/1/a.jpg", b"x", content_type="image/jpeg")
    with pytest.raises(TaskFailed):
        delete_objects(DeleteObjects(keys=["images/1/a.jpg"], prefixes=[prefix]), store)
    assert keys(store) == {"images/1/a.jpg"}
